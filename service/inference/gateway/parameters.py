"""Parsing of requests: the allowed parameters of each route with their types.

vLLM converts values where it can: `"stream": "true"` streams, and `"max_tokens": "200"` means 200.
The gateway rejects such values, so that both interpret the request alike and nothing bypasses
limits and usage accounting. It also rejects parameters that neither `request_types` nor
`passed_on` has, unless the operator allows them. A request is decoded once, which checks all this
in C; only a request that fails is decoded again to find out what to answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from service.core.errors import BadRequest
from service.inference.gateway.decoding import decoded, not_json
from service.inference.gateway.passed_on import PASSED_ON
from service.inference.gateway.request_body import check_nesting
from service.inference.gateway.request_types import (
    ChatRequest,
    CompletionRequest,
    EmbeddingRequest,
    Request,
    ResponseRequest,
)

MAX_NAME_CHARS = 512

Read = Callable[[str, bytes], Request]


class _Constraints(msgspec.Struct):
    """Fields of any route that can constrain an answer to a grammar."""

    structured_outputs: Any = None
    response_format: Any = None
    text: Any = None
    tools: Any = None


_CONSTRAINTS = msgspec.json.Decoder(_Constraints)
_READ: Mapping[str, type[Request]] = {
    "/v1/chat/completions": ChatRequest,
    "/v1/completions": CompletionRequest,
    "/v1/responses": ResponseRequest,
    "/v1/embeddings": EmbeddingRequest,
}
PATHS = frozenset(_READ)


def request_type(path: str, extra_fields: Sequence[str] = ()) -> type[Request]:
    """Return the type of a route's requests with all its parameters.

    `extra_fields` are parameters that the operator allows, with any value.
    """
    reads = _READ[path]
    passed_on = dict.fromkeys(extra_fields, msgspec.Raw) | dict(PASSED_ON[path])
    fields = [
        (name, kind, msgspec.Raw(b"") if kind is msgspec.Raw else None)
        for name, kind in passed_on.items()
        if name not in reads.__struct_fields__
    ]
    kind = msgspec.defstruct(reads.__name__, fields, bases=(reads,), module=__name__)
    return cast("type[Request]", kind)


def reader(extra_fields: Sequence[str] = ()) -> Read:
    """Return a function that parses the body of a request to a path.

    It raises BadRequest if the body is invalid for the route.
    """
    decoders = {path: msgspec.json.Decoder(request_type(path, extra_fields)) for path in PATHS}

    def read(path: str, body: bytes) -> Request:
        check_nesting(body)
        if not body.isascii():
            try:
                body.decode()  # fields that are passed on as they are are not decoded below
            except UnicodeDecodeError as e:
                raise not_json(e, body) from None
        request = decoded(decoders[path], body)
        if not request.model or len(request.model) > MAX_NAME_CHARS:
            raise BadRequest(
                f"'model' must have 1 to {MAX_NAME_CHARS} characters.",
                param="model",
                code="invalid_value",
            )
        return request

    return read


parse = reader()
"""Parses the body of a request to a path. Raises BadRequest if it is invalid for the route."""


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
