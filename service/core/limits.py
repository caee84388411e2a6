"""Limits of keys and projects: the values admins set, and the effective limits."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny

# Higher limits have no effect, and sums stay exact in the store's floats.
_MAX: Final = 1_000_000_000_000
_MAX_BYTES: Final = 1_000_000_000_000_000


def _checked(value: Any, *, most: int) -> Any:
    # Checked in one place before the union, whose errors name its branches instead of the field.
    if value is None or value == "unlimited":
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"a whole number from 1 to {most}, 'unlimited', or null for the default")
    return value


_Number = Annotated[int, Field(json_schema_extra={"minimum": 1, "maximum": _MAX})]
Amount = Annotated[
    _Number | Literal["unlimited"] | None, BeforeValidator(partial(_checked, most=_MAX))
]
_Bytes = Annotated[int, Field(json_schema_extra={"minimum": 1, "maximum": _MAX_BYTES})]
Size = Annotated[
    _Bytes | Literal["unlimited"] | None, BeforeValidator(partial(_checked, most=_MAX_BYTES))
]


L = TypeVar("L", bound="Limits")


class Limits(BaseModel):
    """Limits of an API key.

    `null` means the default applies. `unlimited` means there is no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    requests_per_minute: Amount = Field(
        default=None,
        description="Maximum requests per minute. A request for several answers (`n`) counts "
        "once for each answer.",
    )
    tokens_per_minute: Amount = Field(
        default=None,
        description="Maximum tokens per minute, prompt and completion tokens together.",
    )
    concurrent_requests: Amount = Field(
        default=None,
        description="Maximum number of concurrent requests, including streams. A request for "
        "several answers (`n`) counts once for each answer.",
    )
    concurrent_streams: Amount = Field(
        default=None, description="Maximum number of concurrent streams."
    )

    def or_default(self, default: L) -> L:
        """Return these limits, with `default`'s values for those that are not set."""
        return default.model_copy(update=self.model_dump(exclude_none=True))

    def changed(self, change: Limits) -> Self:
        """Return these limits with the fields given in `change`; a given null unsets one."""
        return self.model_copy(update=change.model_dump(exclude_unset=True))


class ProjectLimits(Limits):
    """Limits of a project.

    `null` means the default applies. `unlimited` means there is no limit.
    """

    storage_bytes: Size = Field(
        default=None,
        description="Maximum bytes that the project may have in storage: files, uploads, "
        "checkpoints, models, exports and results.",
    )
    record_bytes: Size = Field(
        default=None,
        description="Maximum bytes that the objects of the project may take in Redis: evals, runs, "
        "jobs, the metadata of files and chats, and answers kept for an `Idempotency-Key`. By "
        "default, an eighth of the memory of Redis.",
    )


class _StoredLimits(Limits):
    model_config = ConfigDict(extra="allow")


class _StoredProjectLimits(ProjectLimits):
    model_config = ConfigDict(extra="allow")


def _stored(value: Any, *, stored: type[Limits]) -> Any:
    if isinstance(value, dict) and not value.keys() <= stored.model_fields.keys():
        return stored.model_validate(value)
    return value


NO_LIMITS = Limits()
NO_PROJECT_LIMITS = ProjectLimits()
StoredLimits = Annotated[
    SerializeAsAny[Limits], BeforeValidator(partial(_stored, stored=_StoredLimits))
]
StoredProjectLimits = Annotated[
    SerializeAsAny[ProjectLimits], BeforeValidator(partial(_stored, stored=_StoredProjectLimits))
]
"""Limits in a record. Those that only a newer version knows are kept, like the record's fields."""


def ceiling(value: int | str | None) -> int | None:
    """Return the effective number, or None if there is no limit."""
    return value if isinstance(value, int) else None
