"""Options of a single request, and the values of parameters that are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from typing_extensions import TypedDict


class RequestOptions(TypedDict, total=False):
    """Keyword arguments that each method accepts for its request."""

    timeout: float
    """Seconds that the server may take to respond."""
    max_retries: int
    """Number of retries after a lost connection, a rate limit or an error of the server."""
    extra_headers: Mapping[str, str]
    """Headers that are added, or that replace those of the client."""
    idempotency_key: str
    """Key with which the server performs a repeated request once."""


class Omit:
    """Type of `omit`."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "omit"


omit: Final = Omit()
"""Leaves a field as it is, in updates where None removes a value."""


def body_of(**fields: Any) -> dict[str, Any]:
    """Build a JSON body from the fields that are not None, with models as plain values."""
    return {name: _plain(value) for name, value in fields.items() if value is not None}


def changes_of(**fields: Any) -> dict[str, Any]:
    """Build the JSON body of an update, in which None removes a value."""
    return {name: _plain(value) for name, value in fields.items() if not isinstance(value, Omit)}


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value
