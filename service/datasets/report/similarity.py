"""Similarity of the rows of a pair, as the report shows it."""

from __future__ import annotations

from collections.abc import Mapping

from service.datasets.duplicates.compare import compare_all
from service.datasets.duplicates.texts import RowText, RowTexts
from service.datasets.report.features import FeatureArray

# A comparison takes about 0.2 ms.
_COMPARISONS = 5_000


class Similarities:
    """Similarities of pairs of rows of a file: `known` ones, and others up to a limit."""

    def __init__(
        self, features: FeatureArray, texts: RowTexts, known: Mapping[tuple[int, int], float]
    ) -> None:
        self._features = features
        self._texts = texts
        self._known = known
        self._room = _COMPARISONS

    def of_copies(self, one: int, other: int) -> float:
        """Return 1: the rows are identical."""
        return 1.0

    def of_rows(self, one: int, other: int) -> float | None:
        """Return the similarity of two rows, or None if the limit is reached."""
        known = self._known.get((one, other))
        if known is not None:
            return round(known, 2)
        return self._measure("form", one, other, questions_only=False)

    def of_questions(self, one: int, other: int) -> float | None:
        """Return the similarity of what two rows ask, or None if the limit is reached."""
        return self._measure("question", one, other, questions_only=True)

    def _measure(self, field: str, one: int, other: int, *, questions_only: bool) -> float | None:
        wording = self._features[field]
        if wording[one] and wording[one] == wording[other]:
            return 1.0
        if self._room <= 0:
            return None
        self._room -= 1
        return similarity(self._texts[one], self._texts[other], questions_only=questions_only)


def similarity(one: RowText, other: RowText, *, questions_only: bool) -> float:
    """Return the similarity of two rows, or of the shorter one and its best place in the other."""
    if questions_only:
        one, other = one.before_answer, other.before_answer
    few, many = sorted((one.turns, other.turns), key=len)
    found = (
        compare_all(few, many[at : at + len(few)], threshold=0)
        for at in range(len(many) - len(few) + 1)
    )
    return round(max((likeness.similarity for likeness in found if likeness), default=0.0), 2)
