"""Heads of HTTP messages that the next message on the same connection repeats.

A program sends the same headers with each message, and only the length of the body changes. A head
whose other bytes are those of a head that was parsed and checked needs neither again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

# At the start of a line; a value that spans lines is refused by the parser.
_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d{1,9})\r\n", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"
_MAX_LENGTH_CHARS: Final = 9
_MAX_BYTES: Final = 4096  # each connection keeps one head
# Headers that change how a request or its connection is handled.
_SPECIAL: Final = frozenset({b"expect", b"te", b"trailer", b"transfer-encoding", b"upgrade"})


class HeadPattern:
    """The bytes of a head before and after the digits of the body's length."""

    __slots__ = ("_after", "_after_bytes", "_before", "_before_bytes", "_end")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before, self._before_bytes = before, len(before)
        self._after, self._after_bytes = after, len(after)
        self._end = len(before) + _MAX_LENGTH_CHARS + 1

    @classmethod
    def of(cls, data: bytes, headers: Mapping[bytes, bytes]) -> HeadPattern | None:
        """Return the pattern of bytes that are exactly one message whose body has a length.

        `headers` are those that the parser found. If the message is another one for the parser than
        it is here, the lengths differ.
        """
        end = data.find(_HEAD_END) + len(_HEAD_END)
        length = _LENGTH.search(data, 0, end)
        if length is None or length[1] != headers.get(b"content-length"):
            return None
        if end > _MAX_BYTES or len(data) - end != int(length[1]):
            return None
        return cls(data[: length.start(1)], data[length.end(1) : end])

    def match(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return the length and the body if the bytes are exactly one message with this head."""
        if not data.startswith(self._before):
            return None
        start = self._before_bytes
        end = data.find(b"\r", start, self._end)
        length = data[start:end]
        if not (length.isdigit() and data.startswith(self._after, end)):
            return None
        body = data[end + self._after_bytes :]
        return (length, body) if len(body) == int(length) else None


class RequestHead:
    """The head of a request that was parsed and checked."""

    __slots__ = ("_scope", "headers", "notes", "path", "pattern")

    def __init__(
        self, pattern: HeadPattern, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]
    ) -> None:
        self.pattern = pattern
        self.path: str = scope["path"]
        self.headers = headers
        """Headers by name in lower case, without the body's length."""
        self.notes: Any = None
        """What the application found out about the head, so that it does so once."""
        self._scope = scope

    @classmethod
    def of(cls, data: bytes, scope: Mapping[str, Any]) -> RequestHead | None:
        """Return the head of a request that a later one may repeat.

        `data` are bytes that the parser accepted, and `scope` is the ASGI scope of the latest
        request in them. Returns None unless they are exactly one POST request with nothing special.
        """
        headers = dict(scope["headers"])
        if (
            not data.startswith(b"POST /")
            or scope["http_version"] != "1.1"
            or len(headers) != len(scope["headers"])
            or not _SPECIAL.isdisjoint(headers)
            or headers.get(b"connection", b"keep-alive").lower() != b"keep-alive"
        ):
            return None
        pattern = HeadPattern.of(data, headers)
        if pattern is None:
            return None
        del headers[b"content-length"]
        return cls(pattern, scope, headers)

    def scope(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return the ASGI scope of a request with this head, and with a `state`."""
        return {**self._scope, "headers": list(self.headers.items()), "state": state}
