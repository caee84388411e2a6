"""Pure functions that check the headers and trailers of a request.

The parser accepts requests that two programs may interpret differently, such as those with two API
keys or two hosts. They are rejected here, before any application sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from service.core.errors import BadRequest, HeadersTooLarge

MAX_HEAD_BYTES = 64 * 1024
_VERSIONS = frozenset({"1.0", "1.1"})
_CREDENTIALS = frozenset({b"authorization", b"proxy-authorization", b"cookie"})
_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})

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
