"""Writes of several requests go out one after the other, not each between two others' work.

A write wakes whoever reads, and costs least where it follows another: kernel and interpreter
each stay in the processor's caches, and the other side answers many at once, which come back
as one turn's work. So a write waits a few turns of the loop for others. A turn without work
takes some microseconds: a request that is alone hardly waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

_TURNS = 4
_TURNS_ALONE = 2  # of a write beside which no other came


class Outbox:
    """The writes that wait, of one event loop."""

    _all: dict[asyncio.AbstractEventLoop, Outbox] = {}  # noqa: RUF012 — of the process

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Callable[[], object]] = []

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Outbox:
        """The one outbox of a loop."""
        outbox = cls._all.get(loop)
        if outbox is None:
            for other in [other for other in cls._all if other.is_closed()]:
                del cls._all[other]
            outbox = cls._all[loop] = cls(loop)
        return outbox

    def add(self, write: Callable[[], object]) -> None:
        """Call `write` in one of the loop's next turns, after those that were added before."""
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
            except Exception:  # one connection's trouble is not the others'
                log.exception("a write failed")
