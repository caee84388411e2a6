"""Library-independent request and response types, used by the flows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from finetuned.errors import ApiError, UnexpectedAnswer, class_of

T = TypeVar("T")
_SAFE_METHODS = frozenset({"GET", "PUT", "DELETE"})


@dataclass(frozen=True)
class Request:
    """An HTTP request. `path` is relative to the base URL and already quoted."""

    method: str
    path: str
    params: Mapping[str, Any] | None = None
    json: Any = None
    content: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    read_timeout_s: float | None = None
    repeatable: bool | None = None
    """Whether the request is safe to repeat. If None, its method decides."""

    @property
    def may_repeat(self) -> bool:
        """Whether the request may be resent even if the first attempt may have arrived."""
        if self.repeatable is not None:
            return self.repeatable
        return self.method in _SAFE_METHODS or "idempotency-key" in self.headers


@dataclass(frozen=True)
class Answer:
    """An HTTP response, fully read. Header names are lowercase."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the response is not an error."""
        return self.status < 300


def parse(kind: type[T], answer: Answer) -> T:
    """Parse the body as `kind`. Raises UnexpectedAnswer if it does not match."""
    try:
        return TypeAdapter(kind).validate_json(answer.content)
    except ValidationError as e:
        raise UnexpectedAnswer(
            f"The server's response is not a valid {getattr(kind, '__name__', kind)}.",
            status=answer.status,
            request_id=answer.headers.get("x-request-id"),
        ) from e


# The message of these says what to do, and the next step of their class would mislead: there is the
# job without an evaluation, and the key is valid, but not from here or not for an archived project.
_EXPLAINED = {"evaluation_not_found", "ip_not_authorized", "project_archived"}


def error_of(answer: Answer) -> ApiError:
    """Return the error for a response with status 300 or above."""
    error: dict[str, Any] = {}
    try:
        body = json.loads(answer.content)
        error = body["error"] if isinstance(body["error"], dict) else {}
    except (ValueError, KeyError, TypeError):
        pass  # a proxy's page or no body: only the status is known
    return class_of(answer.status)(
        str(error.get("message") or f"The server returned status {answer.status}."),
        status=answer.status,
        code=error.get("code"),
        type=error.get("type"),
        param=error.get("param"),
        request_id=answer.headers.get("x-request-id"),
        retry_after_s=retry_after_s(answer.headers),
        next_step="" if error.get("code") in _EXPLAINED else None,
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the retry delay that the server requested, if any."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with suppress(KeyError, ValueError):
            return max(0.0, float(headers[name]) * unit)
    return None


def body_of(**fields: Any) -> dict[str, Any]:
    """Build a JSON body from the given fields, with models as plain values."""
    return {name: _plain(value) for name, value in fields.items() if value is not None}


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value
