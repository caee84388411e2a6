"""Types of the advice before a training, in a module that imports no numpy."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from service.evaluation.results import Difference, Score


class Recommendation(StrEnum):
    """Recommended action: a training, or what to do first or instead."""

    TRAIN = "train"
    PROMPT = "prompt"
    RETRIEVAL = "retrieval"
    COLLECT = "collect"
    FIX_DATA = "fix_data"


class Finding(msgspec.Struct, frozen=True):
    """A piece of advice of the file's report: its code and its title."""

    code: str
    title: str


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, in one sentence with its figures, and the figures.

    `headroom` are the points (0 to 100) from the better of base and prompt to a perfect score,
    which no training can exceed. The scores are None if no row could be asked.
    """

    recommendation: Recommendation
    sentence: str
    metric: str | None = None
    base: Score | None = None
    prompt: Score | None = None
    prompt_gain: Difference | None = None
    headroom: float | None = None
