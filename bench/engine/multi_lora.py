"""Multi-LoRA benchmark: throughput of mixed adapters, one adapter and the base model.

    python -m bench.engine.multi_lora [--adapters 8] [--rank 16] [--rounds 3] [--tokens 48]
        [--random 3b]

Runs one vLLM on this machine's CPU or GPU, with enough slots for all adapters. The three loads take
turns and the best round of each counts, since the machine may have other work. Tokens per second of
the engine's own CPU time are also reported, since other work affects them less. The target is a
mixed throughput of at least 0.9 of a single adapter's.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import aiohttp
import psutil

from bench.engine.base_model import SHAPES, base_model, random_model
from tests.inference.engine.support import (
    ALL_LINEAR,
    BASE,
    Engine,
    catalogued,
    headers,
    name_of,
    register,
    settings_on,
    valkey,
    write_adapter,
)

PROMPT = "Tell me about the history of the city, its people, its trade and its weather. "


Target = tuple[str, str | None]
"""A model and the adapter that the engine must load for it."""


async def ask(http: aiohttp.ClientSession, target: Target, tokens: int, nonce: int) -> int:
    """Request one answer and return its number of tokens."""
    model, adapter = target
    body = {
        "model": model,
        "prompt": f"{nonce} {PROMPT}",
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
    }
    async with http.post("/v1/completions", json=body, headers=headers(adapter)) as answer:
        body = await answer.json()
        assert answer.status == 200, body
        return body["usage"]["completion_tokens"]


async def load(
    http: aiohttp.ClientSession, engine: int, targets: list[Target], tokens: int, start: int
) -> tuple[float, float]:
    """Return tokens per second and per CPU second of three rounds of one request per target."""
    began, cpu_began = time.perf_counter(), cpu_seconds(engine)

    async def client(place: int, target: Target) -> int:
        return sum([await ask(http, target, tokens, start + 100 * i + place) for i in range(3)])

    made = sum(await asyncio.gather(*(client(i, t) for i, t in enumerate(targets))))
    return made / (time.perf_counter() - began), made / (cpu_seconds(engine) - cpu_began)


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds used by a process and its descendants."""
    top = psutil.Process(pid)
    times = [p.cpu_times() for p in (top, *top.children(recursive=True))]
    return sum(t.user + t.system for t in times)


async def measure(
    url: str, engine: int, names: list[str], rounds: int, tokens: int
) -> dict[str, tuple[float, float]]:
    """Return the best round of each load."""
    n = len(names)
    adapters: list[Target] = [(name, name) for name in names]
    loads: dict[str, list[Target]] = {
        "base": [(BASE, None)] * n,
        "one adapter": adapters[:1] * n,
        f"{n} mixed": adapters,
    }
    best = dict.fromkeys(loads, (0.0, 0.0))
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(base_url=url, timeout=timeout) as http:
        for targets in loads.values():  # load and compile
            await asyncio.gather(*(ask(http, t, 4, 9999) for t in targets))
        for turn in range(rounds):
            for what, targets in loads.items():
                rates = await load(http, engine, targets, tokens, 1000 * turn)
                print(f"round {turn + 1}  {what:<12} {line(rates)}", flush=True)
                best[what] = (max(best[what][0], rates[0]), max(best[what][1], rates[1]))
    return best


def line(rates: tuple[float, float]) -> str:
    """Format the two figures."""
    return f"{rates[0]:7.1f} tok/s {rates[1]:7.1f} tok/CPU-s"


def main() -> None:
    """Run the benchmark."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--adapters", type=int, default=8)
    options.add_argument("--slots", type=int, help="max_loras; default: number of adapters")
    options.add_argument("--rank", type=int, default=16)
    options.add_argument("--max-rank", type=int, help="max_lora_rank; default: the rank")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--tokens", type=int, default=48)
    options.add_argument("--random", choices=SHAPES, help="random weights of this size")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, valkey() as redis_url:
        root = Path(folder)
        settings = settings_on(
            root,
            redis_url,
            max_loras=asked.slots or asked.adapters,
            max_lora_rank=asked.max_rank or asked.rank,
            max_model_len=1024,
        )
        base = random_model(root / "base", asked.random) if asked.random else base_model()
        entry = catalogued(settings, base)
        folders = {}
        for seed in range(asked.adapters):
            target = root / "made" / f"a{seed:04}"
            write_adapter(target, base, seed=seed, rank=asked.rank, modules=ALL_LINEAR)
            folders[name_of(target.name)] = target
        asyncio.run(register(settings, folders))
        env = {"FINETUNED_MAX_LORA_RANK": str(settings.max_lora_rank)}
        with Engine(settings, entry, root / "engine.log", env=env) as engine:
            best = asyncio.run(
                measure(engine.url, engine.pid, [*folders], asked.rounds, asked.tokens)
            )
    one = best["one adapter"]
    for what, rates in best.items():
        wall, cpu = (mine / its for mine, its in zip(rates, one, strict=True))
        print(f"{what:<12} {line(rates)}   of one adapter: {wall:.2f}, by CPU time {cpu:.2f}")


if __name__ == "__main__":
    main()
