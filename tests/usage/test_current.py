"""Tests of what is used of limits at present, over all replicas."""

from __future__ import annotations

from service.config.limits import NO_LIMITS, Limits
from service.usage.limits import CurrentUse, current_use
from tests.usage.conftest import NOON, caller


async def test_current_use_sums_replicas_and_refills(replica, redis, clock):
    one, two = replica(), replica()
    who = caller(requests_per_minute=60, tokens_per_minute=6000, concurrent_requests=9)
    one.serve(who, tokens=(100, 50))
    two.serve(who, tokens=(200, 100))
    two.admit(who, streamed=True)
    for meter in (one, two):
        await meter.flush()
    used = await current_use(redis, who.project_id, who.project_limits, NOON)
    assert used == CurrentUse(requests=3, tokens=460, concurrent_requests=1, concurrent_streams=1)
    later = await current_use(redis, who.project_id, who.project_limits, NOON + 2)
    assert (later.requests, later.tokens) == (1, 260)


async def test_current_use_is_zero_without_limits(replica, redis):
    who = caller()
    one = replica()
    one.serve(who)
    await one.flush()
    assert await current_use(redis, who.key_id, NO_LIMITS, NOON) == CurrentUse(0, 0, 0, 0)
    unused = Limits(requests_per_minute=5)
    assert await current_use(redis, "key_of_nobody", unused, NOON) == CurrentUse(0, 0, 0, 0)
