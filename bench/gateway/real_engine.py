"""Gateway overhead in front of a real vLLM: streams through it and directly, in turns.

    python -m bench.gateway.real_engine [--clients 16] [--tokens 64] [--rounds 9] [--apart]

Runs one vLLM on this machine's CPU or GPU, with `--clients` clients that each send one stream after
another. The result is the median of the rounds. On a CPU, vLLM binds a thread to every core, and
the threads wait for each other, so any other process slows them all down. With `--apart`, vLLM uses
only the first core, and the clients and the gateway use the others, as with a GPU. The gateway's
own CPU time is also reported, as a share of the engine's for the same streams. The target is less
than 2% of throughput.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import httpx

from bench.engine.base_model import base_model
from bench.engine.multi_lora import cpu_seconds
from service.config import Settings
from service.core.redis import connect
from service.projects.records import Projects, Role
from service.standalone.services import free_port
from tests.inference.engine.support import (
    BASE,
    ENGINE_KEY,
    Engine,
    catalogued,
    settings_env,
    settings_on,
    valkey,
)

RATES = {"requests_per_minute": 1_000_000, "tokens_per_minute": 1_000_000_000}


@dataclass(frozen=True)
class Figures:
    """Result of one load: tokens per second, and CPU seconds of the engine and the gateway."""

    rate: float
    engine_s: float
    gateway_s: float


async def streams(url: str, key: str, clients: int, tokens: int, turn: int) -> int:
    """Run three streams per client and return the total number of tokens received."""

    async def client(number: int) -> int:
        seen = 0
        for stream in range(3):
            body = {
                "model": BASE,
                "messages": [{"role": "user", "content": f"{turn} {number} {stream}: a story."}],
                "max_tokens": tokens,
                "temperature": 0,
                "ignore_eos": True,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
            async with http.post("/v1/chat/completions", json=body) as answer:
                text = await answer.text()
                assert answer.status == 200, text
            last = [line for line in text.splitlines() if line.startswith("data: {")][-1]
            seen += json.loads(last.removeprefix("data: "))["usage"]["completion_tokens"]
        return seen

    timeout = aiohttp.ClientTimeout(total=600)
    headers = {"authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(base_url=url, headers=headers, timeout=timeout) as http:
        return sum(await asyncio.gather(*(client(number) for number in range(clients))))


async def key_of_a_project(redis_url: str) -> str:
    redis = connect(redis_url)
    projects = Projects(redis)
    _, secret = await projects.create_key(await projects.create("bench"), "bench", Role.MEMBER)
    await redis.aclose(close_connection_pool=True)
    return secret


@contextlib.contextmanager
def gateway(settings: Settings, engine: str, log: Path) -> Iterator[tuple[str, int]]:
    """Start the api and yield its URL and process id."""
    port = free_port()
    env = settings_env(settings) | {
        "FINETUNED_API_PORT": str(port),
        "FINETUNED_API_METRICS_PORT": "0",
        "FINETUNED_UPSTREAMS": json.dumps({BASE: engine}),
        "FINETUNED_UPSTREAM_API_KEY": ENGINE_KEY,
        "FINETUNED_DEFAULT_KEY_LIMITS": json.dumps(RATES),
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "api"],
            env=os.environ | env,
            stdout=sink,
            stderr=sink,
        )
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while not _is_ready(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the api does not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/readyz").status_code == 200
    return False


def main() -> None:
    """Run the benchmark."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clients", type=int, default=16)
    options.add_argument("--tokens", type=int, default=64)
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--apart", action="store_true", help="give the engine its own core")
    asked = options.parse_args()
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis_url = stack.enter_context(valkey())
        settings = settings_on(root, redis_url, max_model_len=1024)
        entry = catalogued(settings, base_model())
        env = {}
        if asked.apart:
            first, *others = sorted(os.sched_getaffinity(0))
            env["VLLM_CPU_OMP_THREADS_BIND"] = str(first)
            os.sched_setaffinity(0, others)  # inherited by all processes started below
        engine = stack.enter_context(Engine(settings, entry, root / "engine.log", env=env))
        url, api = stack.enter_context(gateway(settings, engine.url, root / "api.log"))
        key = asyncio.run(key_of_a_project(redis_url))
        ways = {"direct": (engine.url, ENGINE_KEY), "gateway": (url, key)}
        found: dict[str, list[Figures]] = {way: [] for way in ways}
        for turn in range(asked.rounds + 1):
            for way, (where, its_key) in sorted(ways.items(), reverse=turn % 2 == 0):
                began, before = time.perf_counter(), (cpu_seconds(engine.pid), cpu_seconds(api))
                made = asyncio.run(streams(where, its_key, asked.clients, asked.tokens, turn))
                seconds = time.perf_counter() - began
                used = (cpu_seconds(engine.pid) - before[0], cpu_seconds(api) - before[1])
                if turn:  # the first is a warm-up
                    found[way].append(Figures(made / seconds, *used))
                    print(f"round {turn}  {way:<8} {made / seconds:7.1f} tok/s", flush=True)
    report(found)


def report(found: dict[str, list[Figures]]) -> None:
    """Print median rates and their ratio, and the gateway's share of CPU time over all rounds."""
    direct, ours = (statistics.median(f.rate for f in found[w]) for w in ("direct", "gateway"))
    used = [
        sum(values)
        for values in zip(*((f.gateway_s, f.engine_s) for f in found["gateway"]), strict=True)
    ]
    print(f"direct {direct:.1f} tok/s, through the gateway {ours:.1f}: {ours / direct:.3f}")
    print(f"CPU time of the gateway: {used[0] / used[1]:.2%} of the engine's")


if __name__ == "__main__":
    main()
