"""Background tasks: loops that survive their faults, and tasks that end when told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from service.core import metrics

log = logging.getLogger(__name__)
_TELL_AGAIN_S = 10.0
_PAUSE_S = 1.0


async def keep(loop: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run a background loop until it returns. One that fails is logged and starts again.

    A loop handles the errors that it expects. What comes here is a fault of ours, and a loop
    that ended on it would leave a process that looks well and does half of its work.
    """
    while True:
        try:
            return await run()
        except Exception:
            metrics.LOOP_FAILURES.labels(loop).inc()
            log.exception("the loop '%s' failed and starts again in %g s", loop, _PAUSE_S)
        await asyncio.sleep(_PAUSE_S)


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task of ours and wait until it has ended. Raises what it failed with.

    A caller that is itself cancelled meanwhile gets its CancelledError. To await the task
    and suppress that error would swallow the caller's own too, and it would never end. A
    task that a library kept from hearing of it (asyncio.wait_for did, before Python 3.12)
    is told again after some seconds.
    """
    task.cancel()
    while not (await asyncio.wait([task], timeout=_TELL_AGAIN_S))[0]:
        log.warning("%s has not ended yet: it is told again", task.get_name())
        task.cancel()
    if not task.cancelled():
        task.result()
