"""Parsing of requests: the parameters that the gateway reads, with one type per route.

vLLM converts values where it can: `"stream": "true"` streams, and `"max_tokens": "200"` means 200.
The gateway rejects such values, so that both interpret the request alike and nothing bypasses
limits and usage accounting. The engine validates all fields that `request_types` does not have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from service.core.errors import BadRequest
from service.inference.gateway import refusals
from service.inference.gateway.request_body import check_nesting
from service.inference.gateway.request_types import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    Request,
    ResponseRequest,
)

MAX_NAME_CHARS = 512

_MISMATCH = re.compile(r"Expected `(\w+)[^`]*`, got `(\w+)` - at `\$\.([\w.\[\]]+)`")
_MISSING = re.compile(r"missing required field `(\w+)`(?: - at `\$\.([\w.\[\]]+)`)?")


class _Constraints(msgspec.Struct):
    """Fields of any route that can constrain an answer to a grammar."""

    structured_outputs: Any = None
    response_format: Any = None
    text: Any = None
    tools: Any = None


_CONSTRAINTS = msgspec.json.Decoder(_Constraints)
_DECODERS: Mapping[str, msgspec.json.Decoder[Request]] = {
    "/v1/chat/completions": msgspec.json.Decoder(ChatRequest),
    "/v1/completions": msgspec.json.Decoder(CompletionRequest),
    "/v1/responses": msgspec.json.Decoder(ResponseRequest),
    "/v1/embeddings": msgspec.json.Decoder(EmbeddingRequest),
}
PATHS = frozenset(_DECODERS)


def parse(path: str, body: bytes) -> Request:
    """Parse the body of a request. Raises BadRequest if it is invalid for the route."""
    check_nesting(body)
    try:
        request = _DECODERS[path].decode(body)
    except msgspec.ValidationError as e:
        raise _invalid(str(e)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from None
    if not request.model or len(request.model) > MAX_NAME_CHARS:
        raise BadRequest(
            f"'model' must have 1 to {MAX_NAME_CHARS} characters.",
            param="model",
            code="invalid_value",
        )
    return request


def constraint_of(body: bytes) -> str | None:
    """Return the parameter that constrains the answer to a grammar or schema, if any."""
    found = _CONSTRAINTS.decode(body)
    if found.structured_outputs:
        return "structured_outputs"
    if _is_format(found.response_format):
        return "response_format"
    if isinstance(found.text, dict) and _is_format(found.text.get("format")):
        return "text.format"
    return "tools" if found.tools else None


def _is_format(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") != "text"


def _invalid(reason: str) -> BadRequest:
    if (found := _MISSING.search(reason)) is not None:
        name, place = found.groups()
        return refusals.missing(f"{place}.{name}" if place else name)
    if (found := _MISMATCH.search(reason)) is not None:
        expected, got, name = found.groups()
        return refusals.wrong_type(name, expected, got)
    return BadRequest("The body must be a JSON object.", code="invalid_json")
