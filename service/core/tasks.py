"""Runs asyncio tasks: loops that survive failures, reliable cancellation, and concurrent calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from service.core import metrics

log = logging.getLogger(__name__)
_CANCEL_AGAIN_S = 10.0
_PAUSE_S = 1.0


async def keep(loop: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a background loop until it returns. If it fails, the error is logged and it restarts.

    A loop handles the errors that it expects, so anything raised here is a bug. Without a restart,
    the process would look healthy but do only half of its work.
    """
    failures = metrics.LOOP_FAILURES.cell(loop)  # exported as 0, so that an alert sees the first
    while True:
        try:
            return await run()
        except Exception:
            failures.inc()
            log.exception("the loop '%s' failed and restarts in %g s", loop, _PAUSE_S)
        await asyncio.sleep(_PAUSE_S)


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel one of our tasks and wait until it has ended. Raises the error it failed with.

    If the caller itself is canceled during the wait, it gets its CancelledError. Awaiting the task
    and suppressing that error would swallow the caller's own cancellation too, and the caller would
    never end. A task that misses the cancellation because of a library (asyncio.wait_for, before
    Python 3.12) is canceled again after some seconds.
    """
    task.cancel()
    while not (await asyncio.wait([task], timeout=_CANCEL_AGAIN_S))[0]:
        log.warning("%s has not ended yet: canceling it again", task.get_name())
        task.cancel()
    if not task.cancelled():
        task.result()


T = TypeVar("T")
S = TypeVar("S")


async def gather(call: Callable[[S], Awaitable[T]], items: Iterable[S]) -> list[T]:
    """Return the results of concurrent calls, in order. The first error cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(_coroutine(call(item))) for item in items]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [made.result() for made in calls]


async def _coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable
