"""Classes of rows that have the same form, found by comparing the texts of similar rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from service.datasets.duplicates.answers import agree
from service.datasets.duplicates.compare import Facts
from service.datasets.duplicates.groups import Rows, connected, join, near_pairs, root
from service.datasets.duplicates.signatures import SignatureStack
from service.datasets.duplicates.texts import RowText, RowTexts

# Estimated share of common character runs from which two rows are compared. Three words changed
# among twenty-five leave about 60%, and two characters changed twice among thirty, 55%.
CANDIDATES = 0.45
# A comparison takes about 0.1 ms. The most similar pairs are compared first, until there is no
# room, or fewer than 1 in 10 are alike.
_COMPARISONS = 30_000
_WINDOW, _LEAST_ALIKE = 1_000, 100
_FAILURES_A_ROW = 3
_STARS_A_GROUP = 100

Star = list[tuple[int, Facts]]
"""Rows that have the form of the first row, with the facts in which they differ from it."""


class Classes(NamedTuple):
    """Groups of copies by class, and pairs that ask the same question but answer it differently.

    A class has rows of the same form, grouped by their facts: rows of a group mean the same.
    `similarities` are those of the pairs of a class that were compared, each with its first row.
    """

    copies: list[list[Rows]]
    opposed: list[Rows]
    similarities: dict[tuple[int, int], float]


def find_classes(
    features: Any,
    rows: Rows,
    stack: SignatureStack,
    texts: RowTexts,
    threshold: float,
    *,
    processes: int = 1,
) -> Classes:
    """Find the classes of the given rows. Each class has at least two rows."""
    of_form = _by_form(features, rows)
    forms = np.array(sorted(of_form), dtype=np.int64)
    pairs = near_pairs(stack, forms, CANDIDATES, processes=processes)
    groups, opposed = _verified(forms, pairs, features["turns"].tolist(), texts, threshold)
    stars, similarities = _stars(groups, texts, threshold)
    in_star = {row for star in stars for row, _ in star}
    alone: list[Star] = [
        [(row, ())] for row, group in of_form.items() if row not in in_star and len(group) > 1
    ]
    copies = [_copies(star, of_form, features) for star in (*stars, *alone)]
    return Classes(copies, opposed, similarities)


def _by_form(features: Any, rows: Rows) -> dict[int, Rows]:
    """Return the rows of each form, by the first of them."""
    if not len(rows):
        return {}
    _, places, counts = np.unique(features["form"][rows], return_inverse=True, return_counts=True)
    members = np.split(rows[np.argsort(places, kind="stable")], np.cumsum(counts)[:-1])
    return {int(group[0]): group for group in members}


def _verified(
    forms: Rows, pairs: Rows, turns: list[int], texts: RowTexts, threshold: float
) -> tuple[list[Rows], list[Rows]]:
    """Return groups of forms connected by pairs that are alike, and pairs that contradict.

    `turns` are the numbers of turns of all rows. Rows with different numbers need not be read.
    """
    parents = np.arange(len(forms))
    place = {int(row): at for at, row in enumerate(forms)}
    failures: dict[int, int] = {}
    opposed: list[Rows] = []
    compared = alike = 0
    for one, other in pairs.tolist():
        first, second = place[one], place[other]
        tired = max(failures.get(one, 0), failures.get(other, 0)) >= _FAILURES_A_ROW
        if tired or root(parents, first) == root(parents, second):
            continue
        if compared % _WINDOW == 0:
            if compared == _COMPARISONS or (compared and alike < _LEAST_ALIKE):
                break
            alike = 0
        compared += 1
        as_many = turns[one] == turns[other]
        if as_many and texts[one].is_like(texts[other], threshold=threshold):
            alike += 1
            join(parents, first, second)
            continue
        for row in (one, other):
            failures[row] = failures.get(row, 0) + 1
        if as_many and _oppose(texts[one], texts[other], threshold):
            opposed.append(np.array([one, other], dtype=np.int64))
    return connected(parents, forms), opposed


def _oppose(one: RowText, other: RowText, threshold: float) -> bool:
    """Whether two rows ask the same question in other words, and their answers do not agree."""
    if one.roles != other.roles or not one.asks_one_thing:
        return False
    found = one.before_answer.compare(other.before_answer, threshold=threshold)
    if found is None or not found.same or found.similarity == 1:
        return False
    return not agree(one.answer, other.answer, one.question, threshold=threshold)


def _stars(
    groups: list[Rows], texts: RowTexts, threshold: float
) -> tuple[list[Star], dict[tuple[int, int], float]]:
    """Split groups into stars, and return the similarities of their rows to the first.

    The ends of a chain of similar rows can differ from each other. In a star, each row is like
    the star's first row. The rows of a group that remain after `_STARS_A_GROUP` stars are left
    out.
    """
    stars: list[Star] = []
    similarities: dict[tuple[int, int], float] = {}
    room = _COMPARISONS
    for group in groups:
        left = group.tolist()
        for _ in range(_STARS_A_GROUP):
            if len(left) < 2 or room <= 0:
                break
            first, others = left[0], left[1:]
            room -= len(others)
            found = {row: texts[first].compare(texts[row], threshold=threshold) for row in others}
            alike = {row: one for row, one in found.items() if one is not None}
            if alike:
                stars.append([(first, ()), *((row, one.facts) for row, one in alike.items())])
            similarities |= {(first, row): one.similarity for row, one in alike.items()}
            left = [row for row in others if row not in alike]
    return stars, similarities


def _copies(star: Star, of_form: dict[int, Rows], features: Any) -> list[Rows]:
    groups: dict[tuple[Facts, int], list[int]] = {}
    for form, facts in star:
        rows = of_form[form]
        for row, figures in zip(rows.tolist(), features["figures"][rows].tolist(), strict=True):
            groups.setdefault((facts, figures), []).append(row)
    copies = (np.array(sorted(group), dtype=np.int64) for group in groups.values())
    return sorted(copies, key=lambda group: int(group[0]))
