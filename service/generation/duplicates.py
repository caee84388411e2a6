"""Near duplicates among the rows of a generation, compared as in reports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from service.datasets.duplicates.compare import Wording, compare_all, parse_text
from service.datasets.duplicates.minhash import PERMUTATIONS, Signatures, signatures
from service.datasets.limits import NEAR_THRESHOLD
from service.generation.answers import Pair

_CANDIDATES: Final = 0.45  # share of equal values in signatures from which rows are compared


class Kept:
    """The rows so far. A row that means the same as one of them is a duplicate.

    Rows with the same question are duplicates whatever they answer, because a model cannot learn
    two answers to it.
    """

    def __init__(self, rows: Iterable[Pair] = ()) -> None:
        self._texts: list[tuple[Wording, Wording]] = []
        self._asked: set[str] = set()
        self._signatures: Signatures = np.empty((64, PERMUTATIONS), dtype=np.uint32)
        for row in rows:
            self._add(row, _signature(row))

    def add(self, row: Pair) -> bool:
        """Keep a row unless it is a duplicate. Returns whether it is kept."""
        question, answer = parse_text(row.question), parse_text(row.answer)
        if question.said in self._asked:
            return False
        signature = _signature(row)
        known = self._signatures[: len(self._texts)]
        shares = (known == signature).mean(axis=1)
        for place in np.flatnonzero(shares >= _CANDIDATES):
            found = compare_all((question, answer), self._texts[place], threshold=NEAR_THRESHOLD)
            if found is not None and found.same:
                return False
        self._add(row, signature)
        return True

    def _add(self, row: Pair, signature: Signatures) -> None:
        if len(self._texts) == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.empty_like(self._signatures)])
        self._signatures[len(self._texts)] = signature
        self._texts.append((parse_text(row.question), parse_text(row.answer)))
        self._asked.add(self._texts[-1][0].said)


def _signature(row: Pair) -> Signatures:
    first: Signatures = signatures(
        [f"{parse_text(row.question).said} {parse_text(row.answer).said}"]
    )[0]
    return first
