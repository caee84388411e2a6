"""Benchmark of a thousand adapters on one engine: Zipf traffic, few slots, a small cache.

    python -m bench.engine.adapters [--adapters 1000] [--requests 3000] [--slots 4] [--share 0.2]

Uses a real Valkey, storage in a folder, and vLLM with our guard and resolver. The cache holds only
part of the adapters. Each request generates one token. Reports errors; the latency of the first and
later answers of an adapter (p50, p99); bytes in the cache against its limit; the growth of the
server's memory; and how long the first user of a new model waits, with and without the worker's
warm-up request.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import psutil

from bench.engine.base_model import base_model
from service.config import MIB, Settings
from service.inference.upstreams import Upstreams
from service.jobs.engine_requests import warm
from tests.inference.engine.support import (
    ALL_LINEAR,
    BASE,
    ENGINE_KEY,
    Engine,
    catalogued,
    headers,
    name_of,
    register,
    settings_on,
    valkey,
    write_adapter,
)


@dataclass
class Traffic:
    """Results of the requests, in seconds."""

    first: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    errors: collections.Counter[str] = field(default_factory=collections.Counter)
    most_cached: int = 0


def zipf(names: list[str], count: int, seed: int) -> list[str]:
    """Draw `count` names from a Zipf distribution with exponent 1, the first most often."""
    weights = [1 / (place + 1) for place in range(len(names))]
    return random.Random(seed).choices(names, weights, k=count)


async def send(url: str, cache: Path, names: list[str], at_once: int) -> Traffic:
    """Request one token from each name, `at_once` requests at a time."""
    traffic, seen, waiting = Traffic(), set(), iter(names)

    async def client(http: aiohttp.ClientSession) -> None:
        for name in waiting:
            times = traffic.again if name in seen else traffic.first
            seen.add(name)
            began = time.perf_counter()
            body = {"model": name, "prompt": "Hello", "max_tokens": 1, "temperature": 0}
            async with http.post("/v1/completions", json=body, headers=headers(name)) as answer:
                text = await answer.text()
            if answer.status == 200:
                times.append(time.perf_counter() - began)
            else:
                traffic.errors[f"{answer.status} {text[:200]}"] += 1
            if len(seen) % 20 == 0:
                traffic.most_cached = max(traffic.most_cached, folder_bytes(cache))

    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(base_url=url, timeout=timeout) as http:
        await asyncio.gather(*(client(http) for _ in range(at_once)))
    traffic.most_cached = max(traffic.most_cached, folder_bytes(cache))
    return traffic


async def fresh(url: str, settings: Settings, base: Path, root: Path, count: int = 12) -> None:
    """Register rank-8 models on all layers and query each twice; warm up every other one."""
    folders = {}
    for number in range(count):
        target = root / "fresh" / f"f{number:04}"
        write_adapter(target, base, seed=10_000 + number, rank=8, modules=ALL_LINEAR)
        folders[name_of(target.name)] = target
    await register(settings, folders)
    times: dict[str, list[float]] = collections.defaultdict(list)
    timeout = aiohttp.ClientTimeout(total=600)
    async with (
        Upstreams({BASE: [url]}, api_key=ENGINE_KEY) as upstreams,
        aiohttp.ClientSession(base_url=url, timeout=timeout) as http,
    ):
        await warm(upstreams, BASE, BASE)
        for number, name in enumerate(folders):
            kind = "cold" if number % 2 else "warm"
            if kind == "warm":
                await warm(upstreams, BASE, name)
            for turn in ("first", "second"):
                began = time.perf_counter()
                body = {"model": name, "prompt": "Good day", "max_tokens": 1}
                async with http.post("/v1/completions", json=body, headers=headers(name)) as answer:
                    assert answer.status == 200, await answer.text()
                times[f"{kind}, {turn}"].append(time.perf_counter() - began)
    for what, seconds in sorted(times.items()):
        print(f"fresh model, {what:<13} p50 {np.median(seconds) * 1000:.0f} ms")


def folder_bytes(cache: Path) -> int:
    """Return the current size of the weights in a cache."""
    total = 0
    for file in cache.glob("*/*/adapter_model.safetensors"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:  # evicted by now
            continue
    return total


def percentiles(times: list[float]) -> str:
    """Format p50 and p99 in milliseconds."""
    if not times:
        return "none"
    p50, p99 = np.percentile(np.array(times) * 1000, [50, 99])
    return f"{len(times)} answers, p50 {p50:.0f} ms, p99 {p99:.0f} ms"


def memory_mib(pid: int) -> dict[str, float]:
    """Return the resident MiB of the server and of its engine child processes."""
    top = psutil.Process(pid)
    below = sum(p.memory_info().rss for p in top.children(recursive=True))
    return {"server": top.memory_info().rss / MIB, "engine": below / MIB}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapters", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--share", type=float, default=0.2, help="cache / bytes of all adapters")
    parser.add_argument("--at-once", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, valkey() as redis_url:
        root, base = Path(folder), base_model()
        folders = {}
        for seed in range(options.adapters):
            target = root / "made" / f"a{seed:04}"
            write_adapter(target, base, seed=seed)
            folders[name_of(target.name)] = target
        all_bytes = folder_bytes(root)
        settings = settings_on(
            root,
            redis_url,
            max_loras=options.slots,
            max_cpu_loras=max(options.slots, 16),
            max_lora_rank=8,
            max_model_len=512,
            adapter_cache_bytes=int(all_bytes * options.share),
        )
        entry = catalogued(settings, base)
        began = time.perf_counter()
        asyncio.run(register(settings, folders))
        print(f"{options.adapters} adapters, {all_bytes / MIB:.0f} MiB: registered in "
              f"{time.perf_counter() - began:.0f} s")  # fmt: skip
        with Engine(settings, entry, root / "engine.log") as engine:
            names = zipf([*folders], options.requests, seed=1)
            before = memory_mib(engine.pid)
            began = time.perf_counter()
            traffic = asyncio.run(send(engine.url, settings.adapter_cache, names, options.at_once))
            took = time.perf_counter() - began
            after = memory_mib(engine.pid)
            report(traffic, names, took, settings.adapter_cache_bytes, before, after)
            asyncio.run(fresh(engine.url, settings, base, root))


def report(
    traffic: Traffic,
    names: list[str],
    took: float,
    limit: int,
    before: dict[str, float],
    after: dict[str, float],
) -> None:
    """Print the results."""
    print(f"{len(names)} requests for {len(set(names))} adapters in {took:.0f} s")
    print(f"errors: {sum(traffic.errors.values())} {dict(traffic.errors)}")
    print(f"first of an adapter: {percentiles(traffic.first)}")
    print(f"later ones:          {percentiles(traffic.again)}")
    print(f"cache: {traffic.most_cached / MIB:.0f} MiB at most, limit {limit / MIB:.0f} MiB")
    for what, was in before.items():
        print(f"memory of the {what}: {was:.0f} → {after[what]:.0f} MiB")


if __name__ == "__main__":
    main()
