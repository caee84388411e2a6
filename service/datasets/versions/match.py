"""Matching of the rows of two files, in any order. Equal rows are matched one to one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from service.datasets.duplicates.groups import Hashes, Rows
from service.datasets.report.features import FeatureArray

Pairs = np.ndarray[Any, np.dtype[np.int64]]
"""[pair, (row of the first file, row of the second)]."""

# A row whose other texts are the same is the likelier counterpart, so that comes first.
_ALIKE = ("said", "prompt", "asked")


class Matched(NamedTuple):
    """Numbers of unchanged rows, pairs of changed rows, and the rows that are left over."""

    unchanged: int
    changed: Pairs
    removed: Rows
    added: Rows


def match(before: FeatureArray, after: FeatureArray, known: Pairs) -> Matched:
    """Match the rows of two files. `known` has pairs of rows that come from one row."""
    left = np.ones(len(before), dtype=bool)
    other_left = np.ones(len(after), dtype=bool)

    def take(pairs: Pairs) -> Pairs:
        left[pairs[:, 0]] = False
        other_left[pairs[:, 1]] = False
        return pairs

    unchanged = take(_pairs(before["exact"], after["exact"]))
    changed = [take(known[left[known[:, 0]] & other_left[known[:, 1]]])]
    for feature in _ALIKE:
        # Without a question, only rows that say the same are versions of each other.
        rows = np.flatnonzero(left & ((before["asked"] != 0) | (feature == "said")))
        others = np.flatnonzero(other_left & ((after["asked"] != 0) | (feature == "said")))
        found = _pairs(before[feature][rows], after[feature][others])
        changed.append(take(np.stack((rows[found[:, 0]], others[found[:, 1]]), axis=1)))
    pairs = np.concatenate(changed)
    return Matched(
        len(unchanged),
        pairs[np.argsort(pairs[:, 0], kind="stable")],
        np.flatnonzero(left),
        np.flatnonzero(other_left),
    )


def _pairs(hashes: Hashes, others: Hashes) -> Pairs:
    """Pair the first row with a hash with the other file's first, the second with its second …"""
    _, numbers = np.unique(np.concatenate((hashes, others)), return_inverse=True)
    one, other = _numbered(numbers[: len(hashes)]), _numbered(numbers[len(hashes) :])
    _, rows, other_rows = np.intersect1d(one, other, assume_unique=True, return_indices=True)
    return np.stack((rows, other_rows), axis=1).astype(np.int64)


def _numbered(values: Any) -> Any:
    """Return a unique key for each row: its value, and how many rows before have it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    counts = np.diff(starts, append=len(values))
    keys = np.empty(len(values), dtype=np.uint64)
    place = np.arange(len(values)) - np.repeat(starts, counts)
    keys[order] = (ordered.astype(np.uint64) << np.uint64(32)) | place.astype(np.uint64)
    return keys
