"""Base of all API types: additions by a newer server do not break an older client."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator


class ApiObject(BaseModel):
    """An API object. Fields unknown to this version are kept in `model_extra`."""

    # Of all the types, a program uses a few: the others are not built, which takes 0.1 s.
    model_config = ConfigDict(extra="allow", protected_namespaces=(), defer_build=True)

    if TYPE_CHECKING:
        _request_id: str | None
        """ID of the request that the object is the response to. Parts of it have none."""

    @field_validator("*", mode="wrap")
    @classmethod
    def _accept_new_words(cls, value: Any, check: Callable[[Any], Any]) -> Any:
        """Accept an enum value newer than this client as a plain string."""
        try:
            return check(value)
        except ValidationError as e:
            if isinstance(value, str) and {f["type"] for f in e.errors()} == {"literal_error"}:
                return value
            raise


ApiObject._request_id = None  # noqa: SLF001 - pydantic would make a field of it
