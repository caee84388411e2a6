"""Tests of leases on a real Redis."""

from __future__ import annotations

import asyncio

import pytest

from service.core.leases import Leases
from service.core.redis import connect


async def test_a_holder_that_is_canceled_while_releasing_leaves_no_lease(redis_url: str):
    redis = connect(redis_url)
    leases = Leases(redis, "worker", lease_s=5.0)
    held, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with leases.hold("thing", 1):
            held.set()
            await done.wait()
        await asyncio.Event().wait()  # the effect of a swallowed cancellation

    task = asyncio.create_task(work())
    await held.wait()
    done.set()
    await asyncio.sleep(0)  # it is waiting for its renewal to end
    task.cancel()
    await asyncio.wait([task], timeout=60)
    assert task.cancelled()
    async with asyncio.timeout(60), Leases(redis, "other", lease_s=5.0).hold("thing", 1):
        pass
    await redis.aclose(close_connection_pool=True)


async def test_a_lease_is_lost_if_its_renewal_fails(redis_url):
    """An error while renewing is treated like a lease taken by another holder."""
    redis = connect(redis_url)

    class Faulty(Leases):
        renewals = 0

        async def _renew(self, subject: str, token: str) -> bool:
            self.renewals += 1
            if self.renewals > 1:
                raise ValueError("a fault")
            return await super()._renew(subject, token)

    with pytest.raises(ValueError, match="a fault"):
        async with Faulty(redis, "worker", lease_s=0.3).hold("of a fault", 1) as lost:
            await asyncio.wait_for(lost.wait(), 60)
    assert not await redis.exists("finetuned:lease:of a fault")
    await redis.aclose(close_connection_pool=True)
