"""How much inference a key or a project may have: what an admin sets, and what then holds."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

# Beyond this a limit is none, and sums stay exact in the store's floats.
_MAX = 1_000_000_000_000


def _checked(value: Any) -> Any:
    # In one place and before the union, whose own errors name its branches, not the field.
    if value is None or value == "unlimited":
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MAX:
        raise ValueError(f"a whole number from 1 to {_MAX}, 'unlimited', or null for the default")
    return value


_Number = Annotated[int, Field(json_schema_extra={"minimum": 1, "maximum": _MAX})]
Amount = Annotated[_Number | Literal["unlimited"] | None, BeforeValidator(_checked)]


class Limits(BaseModel):
    """Limits of one key or project. `null`: the default holds; `unlimited`: none does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: Amount = Field(
        default=None, description="A request for several answers (`n`) counts once for each."
    )
    tokens_per_minute: Amount = Field(default=None, description="Prompt and completion together.")
    concurrent_requests: Amount = Field(
        default=None,
        description="Requests being answered at one time, streams among them. One for several "
        "answers (`n`) counts once for each.",
    )
    concurrent_streams: Amount = Field(default=None, description="Streams at one time.")

    def or_default(self, default: Limits) -> Limits:
        """These limits, and `default`'s where none is set."""
        return default.model_copy(update=self.model_dump(exclude_none=True))

    def changed(self, change: Limits) -> Self:
        """These limits with the fields that were given in `change`; a given null unsets."""
        return self.model_copy(update=change.model_dump(exclude_unset=True))


NO_LIMITS = Limits()


def ceiling(value: int | str | None) -> int | None:
    """The number that holds, or None where nothing does."""
    return value if isinstance(value, int) else None
