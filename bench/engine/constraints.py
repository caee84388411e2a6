"""CPU time that hostile schemas and grammars take from a real engine, and what others wait.

    python -m bench.engine.constraints [--cases 540] [--first 0] [--worst 10]

Each case is sent to the engine itself, without the gateway's bounds, by a project of its own. The
time is that of all processes of the engine but the one that computes the model, until its answer of
at most 24 tokens. Another project sends plain chats between them. The usual constraints are sent
first, and must all pass.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from bench.engine.base_model import base_model
from service.core.errors import BadRequest
from service.inference.gateway.parameters import RequestRules
from tests.inference.engine.hostile_constraints import USUAL, hostile
from tests.inference.engine.support import (
    BASE,
    Engine,
    catalogued,
    cpu_seconds,
    headers,
    settings_on,
    valkey,
)
from tests.models.folders import with_tools

_MESSAGES = [{"role": "user", "content": "Answer."}]


class Used(NamedTuple):
    """What a case used."""

    cpu_s: float
    case: str
    status: int
    refused: bool
    """Whether the gateway would have refused it."""


def body_of(fields: dict[str, Any], project: str) -> dict[str, Any]:
    """Return the request of a project."""
    salt = project.encode().hex().zfill(64)
    return {
        "model": BASE,
        "messages": _MESSAGES,
        "max_tokens": 24,
        "cache_salt": salt,
        **fields,
    }


def is_refused(fields: dict[str, Any]) -> bool:
    """Return whether the gateway refuses these fields."""
    body = {"model": BASE, "messages": _MESSAGES, **fields}
    try:
        RequestRules().parse("/v1/chat/completions", json.dumps(body).encode())
    except BadRequest:
        return True
    return False


async def measure(
    session: aiohttp.ClientSession, engine: Engine, case: str, fields: dict[str, Any]
) -> Used:
    """Send a case and wait until the engine does nothing more for it."""
    before = cpu_seconds(engine.pid)
    async with session.post("/v1/chat/completions", json=body_of(fields, case)) as response:
        await response.read()
    return Used(cpu_seconds(engine.pid) - before, case, response.status, is_refused(fields))


async def chat_of_another(session: aiohttp.ClientSession) -> float:
    """Return the seconds that a plain chat of another project takes."""
    began = time.perf_counter()
    body = body_of({"temperature": 0}, "another")
    async with session.post("/v1/chat/completions", json=body) as response:
        assert response.status == 200, await response.text()
    return time.perf_counter() - began


async def run(engine: Engine, first: int, count: int, worst: int) -> None:
    """Send the usual constraints and the hostile ones, and print a table."""
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(engine.url, headers=headers(None), timeout=timeout) as session:
        alone = [await chat_of_another(session) for _ in range(5)]
        await measure(session, engine, "warm", {"structured_outputs": {"choice": ["a", "b"]}})
        print("| usual | CPU s | status |\n|---|---|---|")
        for name, fields in USUAL.items():
            used = await measure(session, engine, name, fields)
            print(f"| {name} | {used.cpu_s:.2f} | {used.status} |", flush=True)
        found = []
        between = []
        for seed in range(first, first + count):
            found.append(await measure(session, engine, f"{seed}", hostile(seed)))
            if seed % 20 == 0:
                between.append(await chat_of_another(session))
                print(f"{seed}: {max(found)}", flush=True)
        statuses = Counter(used.status for used in found)
        print(f"\n{count} hostile, statuses {dict(statuses)}, of these refused by the gateway")
        print(f"{sum(used.refused for used in found)}; CPU s: median")
        print(
            f"{statistics.median(used.cpu_s for used in found):.2f}, highest {max(found).cpu_s:.2f}"
        )
        print(f"plain chat alone {max(alone):.2f} s, between them at most {max(between):.2f} s")
        for used in sorted(found, reverse=True)[:worst]:
            print(f"| {used.case} | {used.cpu_s:.2f} | {used.status} | {used.refused} |")
        again = await asyncio.gather(
            *(
                measure(session, engine, "one project", hostile(seed))
                for seed in range(first + count, first + count + 32)
            ),
            *(chat_of_another(session) for _ in range(1)),
        )
        print(f"plain chat during 32 new ones of one project at once: {again[-1]:.2f} s")


def main() -> None:
    """Run the benchmark."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cases", type=int, default=540)
    options.add_argument("--first", type=int, default=0, help="number of the first case")
    options.add_argument("--worst", type=int, default=10, help="number of cases to print")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary, valkey() as redis_url:
        folder = Path(temporary)
        settings = settings_on(folder, redis_url, max_model_len=4096, max_loras=1)
        entry = catalogued(settings, with_tools(folder / "base", base_model()))
        with Engine(settings, entry, folder / "engine.log") as engine:
            asyncio.run(run(engine, asked.first, asked.cases, asked.worst))


if __name__ == "__main__":
    main()
