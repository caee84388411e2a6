"""The base of all wire types: what a newer server adds or renames breaks no older client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator


class Model(BaseModel):
    """An object of the API. Fields that this version does not know are kept in `model_extra`."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    @field_validator("*", mode="wrap")
    @classmethod
    def _accept_new_words(cls, value: Any, check: Callable[[Any], Any]) -> Any:
        """A status or kind that is newer than this client comes through as its string."""
        try:
            return check(value)
        except ValidationError as e:
            if isinstance(value, str) and {f["type"] for f in e.errors()} == {"literal_error"}:
                return value
            raise
