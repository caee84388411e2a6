"""Tests of background tasks: loops survive errors, and cancellation is reliable."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from prometheus_client import REGISTRY

from service.core import tasks
from service.core.tasks import end
from service.worker.main import _run_endless


async def _slow_to_end(ended: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.05)
        ended.set()


async def test_ended_task_has_run_its_cleanup():
    ended = asyncio.Event()
    task = asyncio.create_task(_slow_to_end(ended))
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()
    assert ended.is_set()


async def test_a_caller_that_is_canceled_during_the_wait_ends_too():
    task = asyncio.create_task(_slow_to_end(asyncio.Event()))
    caller = asyncio.create_task(end(task))
    await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.wait([task], timeout=60)
    assert task.cancelled()


async def test_the_error_of_a_task_is_raised():
    async def fail() -> None:
        raise ValueError("broken")

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="broken"):
        await end(task)


async def test_a_task_that_ignores_cancellation_is_canceled_again(monkeypatch, caplog):
    monkeypatch.setattr(tasks, "_CANCEL_AGAIN_S", 0.05)

    async def deaf() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(deaf(), name="a deaf one")
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await end(task)
    assert task.cancelled()
    assert "a deaf one has not ended yet" in caplog.text


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


async def test_a_kept_loop_can_be_canceled():
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
