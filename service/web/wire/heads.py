"""Checks the heads of requests, and recognizes heads that repeat the previous one.

The parser accepts requests that two programs may interpret differently, such as those with two API
keys or two hosts. They are rejected here, before any application sees them.

Most programs send the same headers with each message, and only the length of the body changes. A
head with the same bytes as one that was parsed and checked is neither parsed nor checked again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from service.core.errors import BadRequest, HeadersTooLarge

MAX_HEAD_BYTES = 64 * 1024
_VERSIONS = frozenset({"1.0", "1.1"})
_CREDENTIALS = frozenset({b"authorization", b"proxy-authorization", b"cookie"})
_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})

# At the start of a line; a value that spans lines is refused by the parser.
_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d{1,9})\r\n", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"
_MAX_LENGTH_CHARS: Final = 9
_MAX_REPEATED_BYTES: Final = 4096  # each connection keeps one head
# Headers that change how a request or its connection is handled.
_SPECIAL: Final = frozenset({b"expect", b"te", b"trailer", b"transfer-encoding", b"upgrade"})

Headers = Sequence[tuple[bytes, bytes]]


class Parser(Protocol):
    """The methods used of httptools' parser."""

    def get_http_version(self) -> str:
        """Return the HTTP version, such as `1.1`."""
        ...

    def should_upgrade(self) -> bool:
        """Return whether the request asks to switch to another protocol."""
        ...


def check_headers(headers: Headers, parser: Parser) -> None:
    """Raise BadRequest for invalid headers.

    Invalid are a missing or repeated Host, repeated credentials, a body with an upgrade, and other
    versions than 1.0 and 1.1. Names must be in lower case. This runs for every request, so it is
    fast for the most common case: no repeated name, and a Host.
    """
    version = parser.get_http_version()
    if version not in _VERSIONS:
        raise malformed()
    found = dict(headers)
    if len(found) != len(headers):
        names = [name for name, _ in headers]
        for name in (b"host", b"authorization"):
            if names.count(name) > 1:
                raise _repeated(name)
    if b"host" not in found and version != "1.0":
        raise BadRequest("The request has no Host header. Send one.", code="invalid_request")
    if b"upgrade" in found and parser.should_upgrade() and not _BODY_HEADERS.isdisjoint(found):
        # The parser would skip the body and then read its bytes as another request.
        raise BadRequest(
            "The request has a body and asks for another protocol. Send it as HTTP/1.1, without "
            "an Upgrade header.",
            code="invalid_request",
        )


def check_size(url: bytes, headers: Headers) -> None:
    """Raise HeadersTooLarge if the head exceeds MAX_HEAD_BYTES."""
    # Each header has a colon, a space and a line end in addition to its name and value.
    size = len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
    if size > MAX_HEAD_BYTES:
        raise too_large()


def check_trailers(trailers: Headers) -> None:
    """Raise BadRequest if the trailers contain credentials. Names must be in lower case."""
    for name, _ in trailers:
        if name in _CREDENTIALS:
            raise BadRequest(
                f"The request has the trailer {_shown(name)}. Send it as a header, before the "
                "body.",
                code="invalid_request",
            )


def too_large() -> HeadersTooLarge:
    """Build the error for a head, or trailers, over MAX_HEAD_BYTES."""
    return HeadersTooLarge(
        f"The request's line and headers are over the limit of {MAX_HEAD_BYTES} bytes. Send "
        "fewer or shorter headers."
    )


def malformed() -> BadRequest:
    """Build the error for bytes that are not HTTP/1.1, such as those of another version.

    RFC 9110 has 505 for these, but they are no failure of the server, which alerts count.
    """
    return BadRequest("The request is not valid HTTP/1.1.", code="invalid_request")


def _repeated(name: bytes) -> BadRequest:
    return BadRequest(
        f"The request has more than one {_shown(name)} header. Send exactly one.",
        code="invalid_request",
    )


def _shown(name: bytes) -> str:
    return name.decode("latin-1").title()


class HeadPattern:
    """The bytes of a head before and after the digits of the body's length."""

    __slots__ = ("_after", "_after_bytes", "_before", "_before_bytes", "_end")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before, self._before_bytes = before, len(before)
        self._after, self._after_bytes = after, len(after)
        self._end = len(before) + _MAX_LENGTH_CHARS + 1

    @classmethod
    def from_message(cls, data: bytes, headers: Mapping[bytes, bytes]) -> HeadPattern | None:
        """Return the pattern of bytes that are exactly one message whose body has a length.

        `headers` are those that the parser found. If the parser divided the bytes differently, the
        lengths differ, and there is no pattern.
        """
        end = data.find(_HEAD_END) + len(_HEAD_END)
        length = _LENGTH.search(data, 0, end)
        if length is None or length[1] != headers.get(b"content-length"):
            return None
        if end > _MAX_REPEATED_BYTES or len(data) - end != int(length[1]):
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
    """The parsed and checked head of a request for a handler (`protocol.Handler`)."""

    __slots__ = ("_scope", "headers", "length", "parsed", "path", "pattern")

    def __init__(self, scope: Mapping[str, Any], headers: dict[bytes, bytes]) -> None:
        self.path: str = scope["path"]
        self.length = headers.pop(b"content-length")
        self.headers: Mapping[bytes, bytes] = headers
        """Headers by name in lower case, without the body's length."""
        self.pattern: HeadPattern | None = None
        """What a request looks like whose head is the same."""
        self.parsed: Any = None
        """What the application parsed from the headers. Requests that repeat the head reuse it."""
        self._scope = scope

    @classmethod
    def from_scope(cls, scope: Mapping[str, Any]) -> RequestHead | None:
        """Return the head of a request with this ASGI scope.

        Returns None unless it is a POST request with a length and nothing special.
        """
        headers = dict(scope["headers"])
        if (
            scope["method"] != "POST"
            or scope["http_version"] != "1.1"
            or len(headers) != len(scope["headers"])
            or not headers.get(b"content-length", b"").isdigit()
            or not _SPECIAL.isdisjoint(headers)
            or headers.get(b"connection", b"keep-alive").lower() != b"keep-alive"
        ):
            return None
        return cls(scope, headers)

    def learn(self, data: bytes) -> None:
        """Remember how the head looks. `data` are all bytes in which the parser found it."""
        if data.startswith(b"POST /"):
            self.pattern = HeadPattern.from_message(data, {b"content-length": self.length})

    def scope(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return the ASGI scope of a request with this head, and with a `state`."""
        return {**self._scope, "headers": list(self.headers.items()), "state": state}
