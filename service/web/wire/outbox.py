"""Batched socket writes of an event loop.

Each write wakes the reader. Consecutive writes are cheapest: the code of the kernel and the
interpreter stays in the processor's caches, and the reader answers many requests at once, which
this loop then processes in one turn. So a write waits a few turns of the loop for others. An idle
turn takes a few microseconds, so a single request hardly waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import ClassVar

log = logging.getLogger(__name__)

_TURNS = 4
_TURNS_ALONE = 2  # for a write with no others waiting


class Outbox:
    """The pending writes of one event loop."""

    _all: ClassVar[dict[asyncio.AbstractEventLoop, Outbox]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Callable[[], object]] = []

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Outbox:
        """Return the loop's only outbox."""
        outbox = cls._all.get(loop)
        if outbox is None:
            for other in [other for other in cls._all if other.is_closed()]:
                del cls._all[other]
            outbox = cls._all[loop] = cls(loop)
        return outbox

    def add(self, write: Callable[[], object]) -> None:
        """Call `write` in one of the loop's next turns, after all writes added earlier."""
        waiting = self._waiting
        if not waiting:
            self._loop.call_soon(self._turn, 1)
        waiting.append(write)

    def _turn(self, number: int) -> None:
        if number < (_TURNS if len(self._waiting) > 1 else _TURNS_ALONE):
            self._loop.call_soon(self._turn, number + 1)
            return
        waiting, self._waiting = self._waiting, []
        for write in waiting:
            try:
                write()
            except Exception:  # a failing connection must not affect the others
                log.exception("a write failed")
