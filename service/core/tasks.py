"""Ending a background task."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

log = logging.getLogger(__name__)
_TELL_AGAIN_S = 10.0


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
