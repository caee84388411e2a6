"""Compares labels, also those of people, and counts confusions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.grading.errors import ItemFailed
from service.grading.results import LabelPair, pass_threshold
from service.grading.schemas import LabelModelGrader, ScoreModelGrader
from service.grading.text_similarity import narrow

_ENDS: Final = " .,;:!?。、"
_QUOTES: Final = "\"'`“”„‘’«»‹›"
_PAIRS: Final = frozenset({"**", "__", "()", "[]", "{}", "<>", "「」", "『』", "【】"})
_ABSENT: Final = frozenset({"", "null"})
_OUTCOMES: Final = {"pass": "pass", "true": "pass", "fail": "fail", "false": "fail"}
OTHER: Final = "(other)"
"""Column of answers that are not any of the labels."""
Counts = Mapping[str, Mapping[str, int]]
"""Number of items by expected label and given label."""


def normalize_label(text: str) -> str:
    """Return a label in lower case, without surrounding quotes, punctuation and extra spaces.

    Signs at one side only, as in "<5", "A*" and ".5", are part of the label.
    """
    folded = " ".join(narrow(text).lower().split())
    label = folded
    while (inner := _inner(label)) != label:
        label = inner
    return label or folded  # a label may be all punctuation, such as "?"


def _inner(label: str) -> str:
    label = label.rstrip(_ENDS).strip(_QUOTES + " ")
    return label[1:-1].strip() if label[:1] + label[1:][-1:] in _PAIRS else label


def compare_labels(text: str, reference: str, labels: Sequence[str] | None) -> LabelPair:
    """Return the expected and the given label. Raises ItemFailed for an unknown reference."""
    given, expected = normalize_label(text), normalize_label(reference)
    if labels is None:
        return LabelPair(expected, given or None)
    known = {normalize_label(label): label for label in labels}
    if expected not in known:
        raise ItemFailed("other_error", "The reference is not one of the grader's labels.")
    return LabelPair(known[expected], known.get(given))


def parse_human_label(grader: LabelModelGrader | ScoreModelGrader, text: str) -> str | None:
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
    return _OUTCOMES.get(written.casefold()) or pass_label(grader, _score(grader, written))


def pass_label(grader: ScoreModelGrader, score: float) -> str:
    """Return whether a score passes, as a label."""
    return "pass" if score >= pass_threshold(grader) else "fail"


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


@dataclass(frozen=True)
class ConfusionTable:
    """Counts of given labels (columns) for each expected label (rows)."""

    labels: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    n: int
    accuracy: float
    kappa: float | None
    """Cohen's kappa: 0 is the agreement of chance, 1 is perfect. None if chance agrees fully."""


def confusion_table(counts: Counts) -> ConfusionTable:
    """Return the table of counted pairs of labels, sorted by name with `(other)` last."""
    expected = {row: sum(given.values()) for row, given in counts.items()}
    given: Counter[str] = Counter()
    for row in counts.values():
        given.update(row)
    n = given.total()
    labels = tuple(sorted({*expected, *given} - {OTHER}))
    columns = (*labels, OTHER) if OTHER in given else labels
    right = sum(counts[label].get(label, 0) for label in labels if label in counts)
    accuracy = right / n if n else 0.0
    chance = sum(expected.get(label, 0) * given[label] for label in labels) / n**2 if n else 0.0
    return ConfusionTable(
        labels=labels,
        counts={
            row: {column: counts[row].get(column, 0) for column in columns}
            for row in sorted(counts)
        },
        n=n,
        accuracy=accuracy,
        kappa=None if chance >= 1 or not n else (accuracy - chance) / (1 - chance),
    )
