"""Checks on the head and the trailers of a request, as pure functions.

The parser accepts what two programs can read in two ways: a request with two API keys, or with
two hosts. Such a request is refused here, before any application sees it.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.core.errors import BadRequest, HeadersTooLarge

MAX_HEAD_BYTES = 64 * 1024
_CREDENTIALS = frozenset({b"authorization", b"proxy-authorization", b"cookie"})

Headers = Sequence[tuple[bytes, bytes]]


def check_headers(headers: Headers, http_version: str) -> None:
    """Raise BadRequest for a missing or repeated Host, and for repeated credentials.

    The names must be in lower case.
    """
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    if hosts > 1:
        raise _repeated("Host")
    if hosts == 0 and http_version not in ("0.9", "1.0"):
        raise BadRequest("The request has no Host header. Send one.", code="invalid_request")
    if names.count(b"authorization") > 1:
        raise _repeated("Authorization")


def check_size(url: bytes, headers: Headers) -> None:
    """Raise HeadersTooLarge where the head is over MAX_HEAD_BYTES."""
    # Each header has a colon, a space and a line end beside its name and value.
    size = len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
    if size > MAX_HEAD_BYTES:
        raise too_large()


def check_trailer(name: bytes) -> None:
    """Raise BadRequest for credentials that come after the body."""
    if name.lower() in _CREDENTIALS:
        raise BadRequest(
            f"The request has the trailer {name.decode('latin-1').title()}. Send it as a header, "
            "before the body.",
            code="invalid_request",
        )


def too_large() -> HeadersTooLarge:
    """The error of a head, or of trailers, over MAX_HEAD_BYTES."""
    return HeadersTooLarge(
        f"The request's line and headers are over the limit of {MAX_HEAD_BYTES} bytes. Send "
        "fewer or shorter headers."
    )


def malformed() -> BadRequest:
    """The error of bytes that are not HTTP."""
    return BadRequest("The request is not valid HTTP/1.1.", code="invalid_request")


def _repeated(name: str) -> BadRequest:
    return BadRequest(
        f"The request has more than one {name} header. Send exactly one.", code="invalid_request"
    )
