"""Judgments of people that a judge is compared with, for `label_model` and `score_model`."""

from __future__ import annotations

import math
from typing import Final

from service.grading.errors import ItemFailed
from service.grading.label import normalize_label
from service.grading.results import threshold
from service.grading.schemas import LabelModelGrader, ScoreModelGrader

_ABSENT: Final = frozenset({"", "null"})
_OUTCOMES: Final = {"pass": "pass", "true": "pass", "fail": "fail", "false": "fail"}


def parse(grader: LabelModelGrader | ScoreModelGrader, text: str) -> str | None:
    """Return the label that a person gave; None if the text is empty. Raises ItemFailed.

    Judges that give scores are compared by whether the answer passes.
    """
    written = text.strip()
    if written in _ABSENT:
        return None
    if isinstance(grader, LabelModelGrader):
        known = {normalize_label(label): label for label in grader.labels}
        if (label := known.get(normalize_label(written))) is not None:
            return label
        raise ItemFailed("other_error", "The human label is not one of the grader's labels.")
    return _OUTCOMES.get(written.casefold()) or outcome(grader, _score(grader, written))


def outcome(grader: ScoreModelGrader, score: float) -> str:
    """Return whether a score passes, as a label."""
    return "pass" if score >= threshold(grader) else "fail"


def _score(grader: ScoreModelGrader, written: str) -> float:
    try:
        score = float(written)
    except ValueError:
        score = math.nan
    low, high = grader.bounds
    if not low <= score <= high:
        raise ItemFailed(
            "other_error",
            f"The human label is neither 'pass', 'fail' nor a score from {low:g} to {high:g}.",
        )
    return score
