"""Tests that background loops survive errors and that their end is reported."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from service.core import tasks
from service.core.leases import Leases
from service.core.redis import connect
from service.worker.main import _run_endless


def failures(loop: str) -> float | None:
    return REGISTRY.get_sample_value("finetuned_loop_failures_total", {"loop": loop})


async def test_a_loop_that_fails_starts_again(monkeypatch, caplog):
    monkeypatch.setattr(tasks, "_PAUSE_S", 0.0)
    rounds = 0

    async def run() -> None:
        nonlocal rounds
        rounds += 1
        if rounds < 3:
            raise ValueError("a fault")

    await tasks.keep("of a test", run)
    assert rounds == 3
    assert failures("of a test") == 2
    assert "the loop 'of a test' failed and restarts" in caplog.text


async def test_a_kept_loop_ends_when_told():
    async def run() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(tasks.keep("of another test", run))
    await asyncio.sleep(0)
    assert failures("of another test") == 0, "an alert would not see the first failure"
    await tasks.end(task)
    assert task.cancelled()


async def test_a_loop_that_returns_ends_the_worker_with_a_reason():
    async def run() -> None:
        return

    with pytest.raises(RuntimeError, match="the loop 'reconciler' has ended"):
        await _run_endless("reconciler", run)


async def test_a_lease_that_is_renewed_no_more_is_lost(redis_url):
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
