"""Confusion table of labels, and the agreement beyond chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from service.grading.results import LabelPair

OTHER: Final = "(other)"
"""Column of answers that are none of the labels."""


@dataclass(frozen=True)
class ConfusionTable:
    """Counts of given labels (columns) for each expected label (rows)."""

    labels: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    n: int
    accuracy: float
    kappa: float | None
    """Cohen's kappa: 0 is the agreement of chance, 1 is perfect. None if chance agrees fully."""


def confusion(pairs: Iterable[LabelPair]) -> ConfusionTable:
    """Count pairs of labels. Labels come in the order of their names, `(other)` last."""
    counted = Counter((pair.expected, pair.given or OTHER) for pair in pairs)
    expected: Counter[str] = Counter()
    given: Counter[str] = Counter()
    for (row, column), count in counted.items():
        expected[row] += count
        given[column] += count
    n = counted.total()
    labels = tuple(sorted({*expected, *given} - {OTHER}))
    columns = (*labels, OTHER) if OTHER in given else labels
    accuracy = sum(counted[label, label] for label in labels) / n if n else 0.0
    chance = sum(expected[label] * given[label] for label in labels) / n**2 if n else 0.0
    return ConfusionTable(
        labels=labels,
        counts={row: {column: counted[row, column] for column in columns} for row in expected},
        n=n,
        accuracy=accuracy,
        kappa=None if chance >= 1 or not n else (accuracy - chance) / (1 - chance),
    )
