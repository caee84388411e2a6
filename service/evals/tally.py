"""Counts the outcomes of a run, in total and by grader, and its tokens by model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from service.core.records import Stored
from service.grading.labels import OTHER, ConfusionTable, Counts, confusion_table
from service.grading.results import LabelPair
from service.inference.background.calls import ModelUsage

# The counters are written with each chunk of outcomes, so they must stay small. Without declared
# labels, each answer is a label of its own.
MAX_LABEL_PAIRS: Final = 1_000
_MAX_LABEL_CHARS: Final = 200


class CriterionCounts(Stored):
    """Outcomes of one grader. `score` is the sum of the scores that passed or failed.

    `labels` counts items by expected and given label. It is None if there are more than
    `MAX_LABEL_PAIRS` different pairs.
    """

    passed: int = 0
    failed: int = 0
    errored: int = 0
    score: float = 0.0
    labels: Mapping[str, Mapping[str, int]] | None = {}

    @property
    def mean_score(self) -> float | None:
        """Mean of the scores, or None if there are none."""
        graded = self.passed + self.failed
        return self.score / graded if graded else None

    @property
    def confusion(self) -> ConfusionTable | None:
        """Table of the labels, or None if there are none or too many."""
        return confusion_table(self.labels) if self.labels else None

    def plus(self, other: CriterionCounts) -> CriterionCounts:
        """Return the sum of both."""
        return CriterionCounts(
            passed=self.passed + other.passed,
            failed=self.failed + other.failed,
            errored=self.errored + other.errored,
            score=self.score + other.score,
            labels=_sum(self.labels, other.labels),
        )


def count_labels(pair: LabelPair | None) -> Counts:
    """Return the counts of one item's labels. Labels are cut to a bounded length."""
    if pair is None:
        return {}
    expected = pair.expected[:_MAX_LABEL_CHARS]
    if pair.given == pair.expected:
        return {expected: {expected: 1}}
    is_short = pair.given is not None and len(pair.given) <= _MAX_LABEL_CHARS
    return {expected: {pair.given if pair.given and is_short else OTHER: 1}}


class Tally(Stored):
    """Counters of outcomes: of a run, or of the items that are added to it."""

    passed: int = 0
    failed: int = 0
    errored: int = 0
    usage: Mapping[str, ModelUsage] = {}
    criteria: Mapping[str, CriterionCounts] = {}

    @property
    def done(self) -> int:
        """Number of items with an outcome."""
        return self.passed + self.failed + self.errored

    def plus(self, other: Tally) -> Tally:
        """Return the sum of both."""
        usage = {**self.usage}
        for model, more in other.usage.items():
            usage[model] = usage.get(model, ModelUsage()).plus(more)
        criteria = {**self.criteria}
        for name, counts in other.criteria.items():
            criteria[name] = criteria.get(name, CriterionCounts()).plus(counts)
        return Tally(
            passed=self.passed + other.passed,
            failed=self.failed + other.failed,
            errored=self.errored + other.errored,
            usage=usage,
            criteria=criteria,
        )


def _sum(one: Counts | None, other: Counts | None) -> Counts | None:
    if one is None or other is None:
        return None
    total = {expected: dict(given) for expected, given in one.items()}
    for expected, counts in other.items():
        row = total.setdefault(expected, {})
        for given, count in counts.items():
            row[given] = row.get(given, 0) + count
    return total if sum(map(len, total.values())) <= MAX_LABEL_PAIRS else None
