"""Inference limits of keys and projects: the values admins set, and the effective limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny

# Higher limits have no effect, and sums stay exact in the store's floats.
_MAX = 1_000_000_000_000


def _checked(value: Any) -> Any:
    # Checked in one place before the union, whose errors name its branches instead of the field.
    if value is None or value == "unlimited":
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX:
        raise ValueError(f"a whole number from 1 to {_MAX}, 'unlimited', or null for the default")
    return value


_Number = Annotated[int, Field(json_schema_extra={"minimum": 1, "maximum": _MAX})]
Amount = Annotated[_Number | Literal["unlimited"] | None, BeforeValidator(_checked)]


class Limits(BaseModel):
    """Limits of an API key or a project.

    `null` means the default applies. `unlimited` means there is no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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

    def or_default(self, default: Limits) -> Limits:
        """Return these limits, with `default`'s values for those that are not set."""
        return default.model_copy(update=self.model_dump(exclude_none=True))

    def changed(self, change: Limits) -> Self:
        """Return these limits with the fields given in `change`; a given null unsets one."""
        return self.model_copy(update=change.model_dump(exclude_unset=True))


class _StoredLimits(Limits):
    model_config = ConfigDict(extra="allow")


def _stored(value: Any) -> Any:
    if isinstance(value, dict) and not value.keys() <= Limits.model_fields.keys():
        return _StoredLimits.model_validate(value)
    return value


NO_LIMITS = Limits()
StoredLimits = Annotated[SerializeAsAny[Limits], BeforeValidator(_stored)]
"""Limits in a record. Those that only a newer version knows are kept, like the record's fields."""


def ceiling(value: int | str | None) -> int | None:
    """Return the effective number, or None if there is no limit."""
    return value if isinstance(value, int) else None
