"""Tests that background tasks end and that no cancellation is lost while they do."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from service.core import tasks
from service.core.tasks import end, gather


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


async def test_caller_cancelled_meanwhile_ends_too():
    task = asyncio.create_task(_slow_to_end(asyncio.Event()))
    caller = asyncio.create_task(end(task))
    await asyncio.sleep(0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.wait([task], timeout=60)
    assert task.cancelled()


async def test_what_a_task_failed_with_is_raised():
    async def fail() -> None:
        raise ValueError("broken")

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="broken"):
        await end(task)


async def test_a_task_that_did_not_hear_it_is_told_again(monkeypatch, caplog):
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


async def test_gather_raises_the_first_error_itself_and_not_a_group():
    async def fail(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    assert await gather(fail, [0, 1]) == [0, 1]
    with pytest.raises(ValueError, match="two"):
        await gather(fail, [1, 2, 3])
