"""Types of the conclusions: differences, scores, verdict, result of a gate, and advice.

The API imports this module, so it does without numpy.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from service.verdict.thresholds import TENTATIVE_ALPHA

Figures = dict[str, Any]
"""Figures of a statement by name: numbers, names and codes, and lists of them."""


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Mean paired difference between the scores of two columns, `a` minus `b`.

    All differences are on the scale of scores, from -1 to 1, and positive if `a` is better, also
    for metrics where a lower score is better. `low` and `high` are the limits of the 95% confidence
    interval. `adjusted_p` is `p_value` after Holm's correction over the comparisons that answer the
    same question. `n` is the number of rows that both columns answered; `missing` is the number of
    other rows. `better`, `equal` and `worse` count the `n` rows by the sign of their difference,
    and `much_worse` those that lost at least 20 points. `standard_error` and `detectable`, the
    smallest difference that the verdict's rules find with 80% probability, are null if there are
    too few clusters.
    """

    metric: str
    a: str
    b: str
    language: str | None = None
    mean: float
    low: float
    high: float
    p_value: float
    adjusted_p: float
    n: int
    clusters: int
    missing: int = 0
    better: int
    equal: int
    worse: int
    much_worse: int = 0
    standard_error: float | None = None
    detectable: float | None = None


class Score(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Mean score of a column, from 0 to 1, with its 95% confidence interval over `n` rows."""

    column: str
    metric: str
    mean: float
    low: float
    high: float
    n: int
    missing: int = 0


class VerdictKind(StrEnum):
    """Kind of verdict."""

    SERVE = "serve"
    PROMPT = "prompt"
    RETRIEVAL = "retrieval"
    WORSE = "worse"
    MEMORIZED = "memorized"
    FORGOT = "forgot"
    OVERFIT = "overfit"
    SOLVED_ALREADY = "solved_already"
    NO_GAIN = "no_gain"
    CANNOT_TELL = "cannot_tell"
    DISPUTED = "disputed"


class Statement(msgspec.Struct, frozen=True):
    """A statement without words: its code, and the figures of its sentence (`statements.py`)."""

    code: str
    figures: Figures = {}


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Conclusion of an evaluation: one sentence with its numbers, and what to do.

    `code` and `figures` are those of the sentence. `warnings` are sentences about findings that do
    not change the verdict, and `warning_details` their codes in the same order. `reasons` are
    sentences about what people prefer, and `reason_details` their codes. `rows_needed` is the
    number of additional held-out rows to collect if the kind is "cannot_tell". `differences` are
    all comparisons that the verdict is based on. Version 0.2 wrote no codes.
    """

    kind: VerdictKind
    sentence: str
    code: str = ""
    figures: Figures = {}
    recommendation: str
    recommendation_details: Statement | None = None
    reasons: list[str] = []
    reason_details: list[Statement] = []
    warnings: list[str] = []
    warning_details: list[Statement] = []
    rows_needed: int | None = None
    differences: list[Difference] = []


class ConditionResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of one condition of a gate, such as "chrf_gain": ">=5".

    `key` is the figure that it applies to, such as "chrf_gain_low". `measured` is null if the
    evaluation did not measure the figure; the condition then fails, and `reason` explains it.
    """

    key: str
    condition: str
    measured: float | str | None = None
    passed: bool
    reason: str | None = None


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a gate, which passes if all its conditions do."""

    passed: bool
    conditions: list[ConditionResult]


class Recommendation(StrEnum):
    """Recommended action: a training, or what to do first or instead."""

    TRAIN = "train"
    PROMPT = "prompt"
    RETRIEVAL = "retrieval"
    COLLECT = "collect"
    FIX_DATA = "fix_data"


class Finding(msgspec.Struct, frozen=True):
    """A recommendation of the file's report: its code, its title, and the title's figures."""

    code: str
    title: str
    variant: str = ""
    figures: Figures = {}


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, in one sentence with its figures, and the figures.

    `headroom` are the points (0 to 100) from the better of base and prompt to a perfect score,
    which no training can exceed. The scores are None if no row could be asked.
    """

    recommendation: Recommendation
    sentence: str
    code: str
    figures: Figures = {}
    metric: str | None = None
    base: Score | None = None
    prompt: Score | None = None
    prompt_gain: Difference | None = None
    headroom: float | None = None


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A share in percent with its 95% confidence interval."""

    mean: float
    low: float
    high: float


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """How well reviewers agree: Krippendorff's alpha, 1 if always and 0 as random labels do.

    `low` and `high` are the limits of its 95% confidence interval. `rows` counts the rows with
    labels of two or more reviewers, and `disputed` those on which they differ.
    """

    alpha: float
    low: float
    high: float
    rows: int
    disputed: int

    @property
    def is_enough(self) -> bool:
        """Whether reviewers agree enough for conclusions, and more often than random labels."""
        return self.alpha >= TENTATIVE_ALPHA and self.low > 0


class Preference(msgspec.Struct, frozen=True, kw_only=True):
    """How often people preferred the answers of column `a` to those of `b`.

    A tie counts as half in `win_rate`. Labels of rows with the same prompt are not independent, so
    its interval is that of clustered means. `preferred` is the column that people prefer; None if
    the labels do not show one. `reliability` is None if no two reviewers compared the same answers.
    """

    a: str
    b: str
    labels: int
    rows: int
    a_better: int
    ties: int
    b_better: int
    win_rate: Share
    preferred: str | None = None
    reliability: Reliability | None = None


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How often the metric that decided gave the better answer the higher score.

    The better answer to a row is that of most reviewers; rows without one are left out. A tie of
    the metric counts as half. The interval is Wilson's.
    """

    metric: str
    agreements: float
    pairs: int
    share: Share
    is_human: bool = True


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How often the answer that was shown first, and second, was the better one.

    `share` is that of the first, with Wilson's interval.
    """

    first: int
    second: int
    share: Share


class HumanReview(msgspec.Struct, frozen=True, kw_only=True):
    """What the labels of people say together. `statements` come with their `sentences`."""

    labels: int
    rows: int
    reviewers: int
    comparisons: list[Preference]
    agreement: Agreement | None
    position: Position | None
    statements: list[Statement] = []
    sentences: list[str] = []
