"""Similarity of the rows of a pair, as the report shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

from service.datasets.duplicates import compare
from service.datasets.duplicates.groups import Rows
from service.datasets.duplicates.texts import RowText
from service.datasets.parallel import map_ordered
from service.datasets.report.collect import Collected

# A comparison takes about 0.2 ms.
_COMPARISONS = 5_000
_PAIRS_AT_ONCE = 500


class _Pair(NamedTuple):
    """Two rows to compare: all of their turns, or only the questions."""

    one: int
    other: int
    questions_only: bool


class Similarities:
    """Similarities of pairs of rows of a file: `known` ones, and others up to a limit.

    These are measured when the object is made: those of the first row of each group of `asked`,
    rows that are compared by their questions, and of `alike` to the others of its group.
    """

    def __init__(
        self,
        collected: Collected,
        known: Mapping[tuple[int, int], float],
        *,
        asked: Sequence[Rows],
        alike: Sequence[Rows],
        processes: int = 1,
    ) -> None:
        self._forms: list[int] = collected.features["form"].tolist()
        self._questions: list[int] = collected.features["question"].tolist()
        self._known = known
        unknown = list(islice(filter(self._is_unknown, _pairs(asked, alike)), _COMPARISONS))
        parts = [unknown[at : at + _PAIRS_AT_ONCE] for at in range(0, len(unknown), _PAIRS_AT_ONCE)]
        measured = map_ordered(partial(_measure, collected), parts, processes=processes)
        found = (similarity for part in measured for similarity in part)
        self._measured = dict(zip(unknown, found, strict=True))

    def of_copies(self, one: int, other: int) -> float:
        """Return 1: the rows are identical."""
        return 1.0

    def of_rows(self, one: int, other: int) -> float | None:
        """Return the similarity of two rows, or None if the limit is reached."""
        known = self._known.get((one, other))
        if known is not None:
            return round(known, 2)
        return self._of(_Pair(one, other, questions_only=False))

    def of_questions(self, one: int, other: int) -> float | None:
        """Return the similarity of what two rows ask, or None if the limit is reached."""
        return self._of(_Pair(one, other, questions_only=True))

    def _of(self, pair: _Pair) -> float | None:
        return 1.0 if self._has_same_wording(pair) else self._measured.get(pair)

    def _is_unknown(self, pair: _Pair) -> bool:
        is_known = not pair.questions_only and (pair.one, pair.other) in self._known
        return not is_known and not self._has_same_wording(pair)

    def _has_same_wording(self, pair: _Pair) -> bool:
        wording = self._questions if pair.questions_only else self._forms
        return bool(wording[pair.one]) and wording[pair.one] == wording[pair.other]


def _pairs(asked: Sequence[Rows], alike: Sequence[Rows]) -> Iterator[_Pair]:
    for groups, questions_only in ((asked, True), (alike, False)):
        for group in groups:
            first, *others = group.tolist()
            yield from (_Pair(first, other, questions_only) for other in others)


def _measure(collected: Collected, pairs: Sequence[_Pair]) -> list[float]:
    with collected.texts() as texts:
        return [
            similarity(texts[one], texts[other], questions_only=questions_only)
            for one, other, questions_only in pairs
        ]


def similarity(one: RowText, other: RowText, *, questions_only: bool) -> float:
    """Return the similarity of two rows, or of the shorter one and its best place in the other."""
    if questions_only:
        one, other = one.before_answer, other.before_answer
    few, many = sorted((one.turns, other.turns), key=len)
    places = range(len(many) - len(few) + 1)
    return round(max(compare.similarity(few, many[at : at + len(few)]) for at in places), 2)
