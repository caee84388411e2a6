"""Incremental parser for server-sent events (HTML standard, section 9.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

DONE = "[DONE]"
# The server sends something at least every 15 s.
SILENCE_S = 45.0


@dataclass(frozen=True)
class Message:
    """One server-sent event."""

    data: str
    id: str | None


class Lines:
    """Incremental parser for server-sent events (HTML standard, section 9.2)."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yield the messages completed by this chunk. A truncated message is not yielded."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            message = self._line(line.removesuffix(b"\r").decode("utf-8", "replace"))
            if message is not None:
                yield message

    def _line(self, line: str) -> Message | None:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                self._data.append(value)
            elif name == "id":
                self._id = value
            return None
        data, self._data = "\n".join(self._data), []
        return Message(data, self._id) if data else None
