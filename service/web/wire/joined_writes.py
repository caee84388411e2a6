"""Client connections whose small writes become one."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from service.web.wire.outbox import Outbox

_JOINED_BYTES: Final = 64 * 1024


class JoinedWrites:
    """A transport that joins all writes of a turn into one; otherwise like the wrapped one."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._outbox = Outbox.of(loop)
        self._parts: list[bytes] = []
        self._bytes = 0
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send these bytes soon. Large amounts are sent now so that flow control sees them."""
        if not self._parts:
            self._outbox.add(self._flush)
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
