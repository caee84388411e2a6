"""Batched socket writes of an event loop.

Each write wakes the reader. Consecutive writes are the cheapest: the code of the kernel and the
interpreter stays in the processor's caches, and the reader answers many requests together, which
this loop then processes in one iteration. So a write waits a few iterations of the loop for others.
An idle iteration takes a few microseconds, so a single request hardly waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, ClassVar, Final

log = logging.getLogger(__name__)

_ITERATIONS = 4
_ITERATIONS_ALONE = 2  # for a write with no others waiting
_JOINED_BYTES: Final = 64 * 1024


class WriteBatcher:
    """The pending writes of one event loop."""

    _all: ClassVar[dict[asyncio.AbstractEventLoop, WriteBatcher]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Callable[[], object]] = []

    @classmethod
    def for_loop(cls, loop: asyncio.AbstractEventLoop) -> WriteBatcher:
        """Return the loop's only batcher."""
        batcher = cls._all.get(loop)
        if batcher is None:
            for other in [other for other in cls._all if other.is_closed()]:
                del cls._all[other]
            batcher = cls._all[loop] = cls(loop)
        return batcher

    def add(self, write: Callable[[], object]) -> None:
        """Call `write` in one of the loop's next iterations, after all writes added earlier."""
        waiting = self._waiting
        if not waiting:
            self._loop.call_soon(self._wait_or_write, 1)
        waiting.append(write)

    def _wait_or_write(self, number: int) -> None:
        if number < (_ITERATIONS if len(self._waiting) > 1 else _ITERATIONS_ALONE):
            self._loop.call_soon(self._wait_or_write, number + 1)
            return
        waiting, self._waiting = self._waiting, []
        for write in waiting:
            try:
                write()
            except Exception:  # a failing connection must not affect the others
                log.exception("a write failed")


class JoinedWrites:
    """A transport that joins the writes of an iteration into one, and delegates the rest."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._batcher = WriteBatcher.for_loop(loop)
        self._parts: list[bytes] = []
        self._bytes = 0
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send these bytes soon. Large amounts are sent now so that flow control sees them."""
        if not self._parts:
            self._batcher.add(self._flush)
        self._parts.append(data)
        self._bytes += len(data)
        if self._bytes > _JOINED_BYTES:
            self._flush()

    def write_eof(self) -> None:
        """Send everything, then the end of the stream. Data from the client is still read."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Close once everything is sent."""
        self._flush()
        self._transport.close()  # sends its buffered data first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        parts = self._parts
        if parts:
            self._parts, self._bytes = [], 0
            if self.is_closing():
                return  # the client disconnected, and uvloop's transport would raise
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
