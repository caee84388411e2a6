"""Tests of a killed process: exchanged usage stays, and requests in flight disappear."""

from __future__ import annotations

import asyncio
import signal
import sys

from service.usage import keys
from tests.cached import ROOT

PROGRAM = """
import asyncio, sys
from service.core.redis import connect
from service.usage import Meter
from tests.usage.conftest import caller, served

async def main():
    async with Meter(connect(sys.argv[1]), flush_every_s=0.05, in_flight_ttl_s=0.5) as meter:
        who = caller(concurrent_requests=1000)
        meter.admit(who, body_bytes=1, max_tokens=1, streamed=True)
        for count in range(1, 100_000):
            running = meter.admit(who, body_bytes=1, max_tokens=1, streamed=False)
            meter.done(running, served())
            print(count, flush=True)
            await asyncio.sleep(0.005)

asyncio.run(main())
"""


async def counted(redis) -> int:
    hours = await redis.keys("finetuned:proj_acme:usage:1h:*")
    lines = [line for key in hours for line in (await redis.hgetall(key)).values()]
    return sum(int(line.split()[0]) for line in lines)


async def test_kill_9_loses_what_was_counted_since_the_last_exchange_alone(redis, redis_url):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, redis_url, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while (served := int(await process.stdout.readline())) < 50:
            pass
        while await counted(redis) < served:
            await asyncio.sleep(0.01)
        assert len(await redis.keys(keys.IN_FLIGHT + "*")) == 1
        process.send_signal(signal.SIGKILL)
        rest = (await process.stdout.read()).split()
        await process.wait()
        assert served <= await counted(redis) <= int(rest[-1] if rest else served)
        while await redis.keys(keys.IN_FLIGHT + "*"):
            await asyncio.sleep(0.01)
