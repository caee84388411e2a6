"""Confusion table of labels, and the agreement beyond chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from service.grading.results import LabelPair

OTHER: Final = "(other)"
"""Column of answers that are not any of the labels."""

Counts = Mapping[str, Mapping[str, int]]
"""Number of items by expected label and given label."""


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
    counts: dict[str, Counter[str]] = {}
    for pair in pairs:
        counts.setdefault(pair.expected, Counter())[pair.given or OTHER] += 1
    return table_of(counts)


def table_of(counts: Counts) -> ConfusionTable:
    """Return the table of counted pairs of labels, in the same order."""
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
