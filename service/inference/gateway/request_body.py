"""Reads and checks request bodies, and appends fields for the engine.

The body is not parsed into objects. Only a few fields are extracted (parameters.py). vLLM parses
the body again with Python's `json`, so both must see the same values. They do: in both, the last of
two equal keys wins, and extensions that `json` accepts (NaN, UTF-16, a byte-order mark) are
rejected here.

Each project's requests get a salt for vLLM's prefix cache, so that no project can probe another's
prompts. vLLM shares its cached work on prompts between all callers. A prompt with a cached prefix
is answered faster, and `cached_tokens` gives the length of that prefix. Without salts, any caller
could find out what other projects send.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
from collections.abc import Callable, Mapping

import msgspec
from starlette.types import Message, Receive

from service.core.errors import BadRequest, RequestTimeout, TooLarge

MAX_DEPTH = 64
_MAX_BRACKETS = 100_000
_MAX_QUOTES = 400_000
_NOT_STRUCTURAL = bytes(c for c in range(256) if c not in b'[]{}"')


class ClientGone(Exception):
    """The client disconnected before its request was complete."""


async def read(
    receive: Receive, headers: Mapping[bytes, bytes], limit_bytes: int, timeout_s: float
) -> bytes:
    """Read the complete body.

    Raises TooLarge if it exceeds the limit, RequestTimeout if it does not end in time, and
    ClientGone if the client disconnects.
    """
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise too_large(limit_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            return await _read_all(receive, limit_bytes)
    except TimeoutError:
        raise RequestTimeout(
            f"The body was not complete after {timeout_s:g} seconds. Send it without pauses."
        ) from None


async def _read_all(receive: Receive, limit_bytes: int) -> bytes:
    body, message = bytearray(), await receive()
    while message.get("more_body", False):
        _grow(body, message, limit_bytes)
        message = await receive()
    _grow(body, message, limit_bytes)
    return bytes(body)


def _grow(body: bytearray, message: Message, limit_bytes: int) -> None:
    if message["type"] == "http.disconnect":
        raise ClientGone
    body += message.get("body", b"")
    if len(body) > limit_bytes:
        raise too_large(limit_bytes)


def with_fields(body: bytes, fields: Mapping[str, object]) -> bytes:
    """Return the body of a request with some fields set and every other byte unchanged.

    The fields are appended, so they override earlier ones of the same name. `body` must be a JSON
    object with at least one field.
    """
    return with_members(body, members(fields))


def members(fields: Mapping[str, object]) -> bytes:
    """Return fields as members of a JSON object, for `with_members`."""
    return msgspec.json.encode(fields)[1:-1]


def with_members(body: bytes, encoded: bytes) -> bytes:
    """Return the body of a request with encoded fields appended, as `with_fields` does."""
    end = body.rindex(b"}")
    return b"%b,%b%b" % (body[:end], encoded, body[end:])


def check_nesting(body: bytes) -> None:
    """Raise BadRequest for JSON nested deeper than MAX_DEPTH, or crafted to be slow to parse.

    Scans the bytes with functions that run in C. Strings are removed, then the innermost pairs of
    brackets MAX_DEPTH times; anything left was nested deeper. A typical request has fewer brackets
    than the limit, so they are only counted.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    # Pairs of backslashes first: each remaining backslash-quote is then an escaped quote.
    marks = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NOT_STRUCTURAL)
    if marks.count(b'"') > _MAX_QUOTES:
        raise BadRequest("The body has too many strings.", code="invalid_json")
    brackets = b"".join(marks.split(b'"')[::2])
    if len(brackets) > _MAX_BRACKETS:
        raise BadRequest("The body has too many arrays and objects.", code="invalid_json")
    for _ in range(MAX_DEPTH):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    if brackets:
        raise BadRequest(f"The body is nested deeper than {MAX_DEPTH} levels.", code="invalid_json")


def too_large(limit_bytes: int) -> TooLarge:
    """Build the error for a body over the limit."""
    return TooLarge(f"The body is larger than {limit_bytes} bytes, the limit of this route.")


_REMEMBERED = 4096


def cache_salts(secret: str) -> Callable[[str], str]:
    """Return a function that maps a project ID to its salt.

    All replicas of the API share the secret and therefore the cache. A salt is 64 hexadecimal
    digits: vLLM accepts this form, and no model has such a name. vLLM has mistaken a salt for the
    adapter of the same name.
    """
    key = secret.encode()

    @functools.lru_cache(maxsize=_REMEMBERED)
    def salt_of(project_id: str) -> str:
        return hmac.digest(key, f"cache_salt {project_id}".encode(), "sha256").hex()

    return salt_of


def salt_members(secret: str) -> Callable[[str], bytes]:
    """Return a function that maps a project ID to the member of a request that has its salt."""
    salt_of = cache_salts(secret)

    @functools.lru_cache(maxsize=_REMEMBERED)
    def member_of(project_id: str) -> bytes:
        return b'"cache_salt":"%b"' % salt_of(project_id).encode()

    return member_of
