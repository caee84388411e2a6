"""What the gateway must know of a request's body before it passes the bytes on.

The body is not parsed into objects: only `model` is taken out. vLLM parses it again with
Python's `json`, so both must see the same name. They do: in both the last of two equal
keys wins, and what `json` takes beyond JSON (NaN, UTF-16, a byte-order mark) is refused
here.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.types import Receive

from service.core.errors import BadRequest, TooLarge

MAX_DEPTH = 64
_MAX_BRACKETS = 100_000
_MAX_QUOTES = 400_000
_NOT_STRUCTURAL = bytes(c for c in range(256) if c not in b'[]{}"')
_MAX_NAME_CHARS = 512


class ClientGone(Exception):
    """The client hung up before its request was whole."""


class _Head(msgspec.Struct):
    model: str


_DECODER = msgspec.json.Decoder(_Head)


async def read(receive: Receive, headers: Mapping[bytes, bytes], limit_bytes: int) -> bytes:
    """The whole body. Raises TooLarge above the limit, ClientGone when the client left."""
    declared = headers.get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def model_name(body: bytes) -> str:
    """The `model` that the body asks for. Raises BadRequest for what is no request."""
    check_nesting(body)
    try:
        name = _DECODER.decode(body).model
    except msgspec.ValidationError as e:
        raise _invalid(str(e)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from None
    if not name or len(name) > _MAX_NAME_CHARS:
        raise BadRequest(
            f"'model' must have 1 to {_MAX_NAME_CHARS} characters.",
            param="model",
            code="invalid_value",
        )
    return name


def check_nesting(body: bytes) -> None:
    """Raise BadRequest for JSON nested deeper than MAX_DEPTH, or made to be slow to read.

    Works on bytes with passes that run in C: strings are cut out, then the innermost
    pairs of brackets are removed MAX_DEPTH times; what is left was deeper. The usual
    request has fewer brackets in all than the limit and is counted only.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    # Pairs of backslashes first: then each backslash-quote left is an escaped quote.
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


def _invalid(reason: str) -> BadRequest:
    if "missing required field `model`" in reason:
        return BadRequest(
            "Missing required parameter: 'model'.",
            param="model",
            code="missing_required_parameter",
        )
    if "$.model" in reason:
        return BadRequest("'model' must be a string.", param="model", code="invalid_type")
    return BadRequest("The body must be a JSON object.", code="invalid_json")


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit_bytes} bytes, the limit of this route.")
