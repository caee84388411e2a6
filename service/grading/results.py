"""The result of a grader on one item, and when a score passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from service.grading.errors import GraderError
from service.grading.schemas import (
    ChrfGrader,
    Grader,
    MultiGrader,
    PythonGrader,
    ScoreModelGrader,
    TextSimilarityGrader,
)


@dataclass(frozen=True)
class LabelPair:
    """The expected and the given label, for a confusion table. `given` is None for other texts."""

    expected: str
    given: str | None


@dataclass(frozen=True)
class GraderResult:
    """The result of one grader on one item.

    An item that cannot be graded has errors, the score 0 and has not passed. `sub_scores` are the
    scores of a multi grader's graders; `sample` is the judge's raw answer; `tokens` are the judge's
    tokens by model. `labels` are those of a `label` grader, or a person's and the judge's.
    """

    score: float
    passed: bool
    errors: tuple[GraderError, ...] = ()
    sub_scores: dict[str, float] = field(default_factory=dict)
    sample: dict[str, Any] | None = None
    tokens: dict[str, int] = field(default_factory=dict)
    duration_s: float = 0.0
    labels: LabelPair | None = None


def threshold(grader: Grader) -> float:
    """Return the lowest score that passes. Scores on a scale pass at its middle by default."""
    given: float | None = getattr(grader, "pass_threshold", None)
    if given is not None:
        return given
    match grader:
        case ScoreModelGrader():
            return sum(grader.bounds) / 2
        case TextSimilarityGrader() | PythonGrader() | MultiGrader() | ChrfGrader():
            return 0.5
        case _:
            return 1.0
