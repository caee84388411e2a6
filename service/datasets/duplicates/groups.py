"""Groups of identical, similar, or contradicting rows.

Rows are numbered from 0. A group is an array of at least two rows in ascending order.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from service.datasets.duplicates.signatures import MIX, PERMUTATIONS, SignatureStack
from service.datasets.parallel import map_ordered

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Rows = np.ndarray[Any, np.dtype[np.int64]]
Lines = np.ndarray[Any, np.dtype[np.uint32]]

# 32 bands of 4: 98.8% of the pairs that share 60% of their character runs match in at least
# one band, 87% of those that share 50%, and 1 in 20 of those that share 20%. Comparing the full
# signatures then rejects the last.
_BANDS, _BAND_SIZE = 32, 4
_PAIRS_AT_ONCE = 20_000
_ROWS_WORTH_A_FORK = 20_000


def equal_groups(hashes: Hashes) -> list[Rows]:
    """Return groups of rows with the same hash, sorted by their first rows."""
    order = np.argsort(hashes, kind="stable")
    groups = [order[start:end] for start, end in _runs(hashes[order])]
    return sorted(groups, key=lambda group: int(group[0]))


def _runs(ordered: Hashes) -> Iterator[tuple[int, int]]:
    """Yield the (start, end) of each run of at least two equal neighbors."""
    if len(ordered) < 2:
        return
    edges = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    starts = np.concatenate(([0], edges))
    ends = np.concatenate((edges, [len(ordered)]))
    for index in np.flatnonzero(ends - starts > 1):
        yield int(starts[index]), int(ends[index])


def near_groups(stack: SignatureStack, rows: Rows, threshold: float) -> list[Rows]:
    """Return groups of similar rows, directly or through other rows, sorted by first row.

    `threshold` is the share of character runs that two texts have in common, estimated to
    about ±0.04. Reduce identical rows to one beforehand.
    """
    parents = np.arange(len(rows))
    for band in range(_BANDS):
        for pairs, _ in _similar_pairs(stack, rows, threshold, band):
            for first, second in pairs.tolist():
                join(parents, first, second)
    return connected(parents, rows)


def near_pairs(stack: SignatureStack, rows: Rows, threshold: float, *, processes: int = 1) -> Rows:
    """Return pairs of similar rows, the most similar first. Not every pair of a group is listed."""
    of_band = partial(_similar_pairs, stack, rows, threshold)
    few = len(rows) < _ROWS_WORTH_A_FORK
    bands = map_ordered(of_band, range(_BANDS), processes=1 if few else processes)
    found = [part for band in bands for part in band]
    if not found:
        return np.empty((0, 2), dtype=np.int64)
    pairs = np.sort(np.concatenate([pairs for pairs, _ in found]), axis=1)
    shared = np.concatenate([shared for _, shared in found])
    _, firsts = np.unique(pairs[:, 0] * len(rows) + pairs[:, 1], return_index=True)
    order = np.argsort(-shared[firsts], kind="stable")
    return np.asarray(rows[pairs[firsts][order]])


def _similar_pairs(
    stack: SignatureStack, rows: Rows, threshold: float, band: int
) -> list[tuple[Rows, Rows]]:
    """Return arrays of pairs of places in `rows`, and how many values the rows of a pair share.

    The pairs are the similar ones among those that are equal in one band.
    """
    keys = _band_keys(stack, rows, band)
    order = np.argsort(keys, kind="stable")
    pairs = _pairs(keys[order], order)
    found: list[tuple[Rows, Rows]] = []
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        part = pairs[start : start + _PAIRS_AT_ONCE]
        one, other = stack.take(rows[part[:, 0]]), stack.take(rows[part[:, 1]])
        shared = (one == other).sum(axis=1)
        alike = shared >= threshold * PERMUTATIONS
        found.append((part[alike], shared[alike]))
    return found


def connected(parents: Rows, rows: Rows) -> list[Rows]:
    """Return the groups of rows that are joined, sorted by first row."""
    roots = np.array([root(parents, row) for row in range(len(parents))], dtype=np.uint64)
    return [rows[group] for group in equal_groups(roots)]


def _band_keys(stack: SignatureStack, rows: Rows, band: int) -> Hashes:
    part = stack.columns(band * _BAND_SIZE, (band + 1) * _BAND_SIZE)[rows].astype(np.uint64)
    keys = np.zeros(len(part), dtype=np.uint64)
    for column in range(_BAND_SIZE):
        keys = (keys ^ part[:, column]) * MIX
        keys ^= keys >> np.uint64(31)
    return keys


def _pairs(ordered: Hashes, order: Rows) -> Rows:
    """Pair each row of a bucket with the previous row and with the bucket's first row.

    A large bucket has too many pairs to compare them all, and these are enough to connect a
    genuine group.
    """
    if len(ordered) < 2:
        return np.empty((0, 2), dtype=np.int64)
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    begins = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    firsts = order[np.maximum.accumulate(np.where(begins, np.arange(len(ordered)), 0))]
    neighbours = np.column_stack((order[same], order[same + 1]))
    to_first = np.column_stack((firsts[same + 1], order[same + 1]))
    return np.concatenate((neighbours, to_first[firsts[same + 1] != order[same]]))


def root(parents: Rows, row: int) -> int:
    """Return the first row of a row's set."""
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = int(parents[row])
    return row


def join(parents: Rows, one: int, other: int) -> None:
    """Join two sets. The smaller root wins, so that groups do not depend on the order."""
    first, second = root(parents, one), root(parents, other)
    parents[max(first, second)] = min(first, second)


def contradictions(questions: Hashes, verdicts: Hashes) -> list[Rows]:
    """Return groups of rows that have the same question but different verdicts."""
    return [rows for rows in equal_groups(questions) if len(np.unique(verdicts[rows])) > 1]
