"""Mixtures: trainings on several files, and how often the rows of each are drawn per epoch."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field


class MixedRows(BaseModel):
    """Consecutive rows of a training file that come from one of the mixed files.

    `file` names the file in messages. `weight` is how often each row is drawn per epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field(min_length=1, max_length=200)
    rows: int = Field(ge=1)
    weight: float = Field(gt=0, allow_inf_nan=False)


def drawn_per_epoch(count: int, weight: float) -> int:
    """Return how many of `count` examples, repeated ones included, an epoch draws."""
    return max(1, math.floor(weight * count + 0.5)) if count else 0
