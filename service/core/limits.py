"""How much inference a key or a project may have: what an admin sets, and what then holds."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

UNLIMITED: Literal["unlimited"] = "unlimited"
# Beyond this a limit is none; sums of it stay exact in the store's floats.
_MAX = 1_000_000_000_000

Amount = Annotated[int, Field(ge=1, le=_MAX, strict=True)]


class Limits(BaseModel):
    """Limits of one key or project. `null`: the default holds; `unlimited`: none does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: Amount | Literal["unlimited"] | None = None
    tokens_per_minute: Amount | Literal["unlimited"] | None = Field(
        default=None, description="Prompt and completion together."
    )
    concurrent_requests: Amount | Literal["unlimited"] | None = Field(
        default=None, description="Requests being answered at one time, streams among them."
    )
    concurrent_streams: Amount | Literal["unlimited"] | None = None

    def or_default(self, default: Limits) -> Limits:
        """These limits, and `default`'s where none is set."""
        return default.model_copy(update=self.model_dump(exclude_none=True))

    def changed(self, change: Limits) -> Self:
        """These limits with the fields that were given in `change`; a given null unsets."""
        return self.model_copy(update=change.model_dump(exclude_unset=True))


def ceiling(value: int | str | None) -> int | None:
    """The number that holds, or None where nothing does."""
    return value if isinstance(value, int) else None


NO_LIMITS = Limits()
