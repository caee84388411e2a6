"""The choice of the rows of a merge. It depends on their texts and the seed, not on their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xxhash

from service.datasets.duplicates.groups import Rows
from service.datasets.report.collect import Collected
from service.datasets.text.languages import UNKNOWN
from service.datasets.versions.options import MergeOptions, MergeSource

TAKEN, DUPLICATE, OVER_MAXIMUM, BALANCED_OUT = range(4)
# Few rows in a language, or of an unknown one, are no reason to leave out most of the others.
_RARE_SHARE = 0.02

Fates = np.ndarray[Any, np.dtype[np.uint8]]
"""The result of the choice for each row."""


def choose(
    collected: Collected, owners: Rows, sources: Sequence[MergeSource], options: MergeOptions
) -> tuple[Fates, Rows]:
    """Return the fate of each row, and the row that each row duplicates (itself if none).

    `owners` has the number of each row's file. A row duplicates one that is taken from an earlier
    file, or an earlier one of its own file.
    """
    features = collected.features
    fates = np.full(len(features), TAKEN, dtype=np.uint8)
    firsts = np.arange(len(features))
    contents = np.unique(features["exact"], return_inverse=True)[1]
    taken_with = np.full(len(features), -1)  # the row that is taken with each content
    draws = _draws(features["exact"], options.seed)

    def keep(rows: Rows, most: int, fate: int) -> None:
        order = np.argsort(draws[rows], kind="stable")
        fates[rows[order[most:]]] = fate

    for number, source in enumerate(sources):
        rows = np.flatnonzero(owners == number)
        if options.exact_duplicates:
            firsts[rows] = _firsts(rows, contents[rows], taken_with)
            fates[rows[firsts[rows] != rows]] = DUPLICATE
        if source.max_rows is not None:
            keep(_taken(fates, owners == number), source.max_rows, OVER_MAXIMUM)
        taken = _taken(fates, owners == number)
        taken_with[contents[taken]] = taken
    for rows, most in _balanced(collected, owners, fates, sources, options):
        keep(rows, most, BALANCED_OUT)
    return fates, firsts


def _firsts(rows: Rows, contents: Rows, taken_with: Rows) -> Rows:
    """Return the row that each row of a file duplicates, or the row itself."""
    _, first, content = np.unique(contents, return_index=True, return_inverse=True)
    earlier = taken_with[contents]
    return np.where(earlier < 0, rows[first][content], earlier)


def _draws(hashes: Any, seed: int) -> Any:
    """Return a pseudorandom number for each row."""
    drawn = (xxhash.xxh3_64_intdigest(f"{seed}:{one}".encode()) for one in hashes.tolist())
    return np.fromiter(drawn, dtype=np.uint64, count=len(hashes))


def _taken(fates: Fates, where: Any) -> Rows:
    return np.flatnonzero((fates == TAKEN) & where)


def _balanced(
    collected: Collected,
    owners: Rows,
    fates: Fates,
    sources: Sequence[MergeSource],
    options: MergeOptions,
) -> Iterator[tuple[Rows, int]]:
    """Yield groups of rows, and how many of each group to take."""
    if options.balance == "languages":
        groups = [
            _taken(fates, collected.features["language"] == number)
            for number, name in enumerate(collected.languages)
            if name != UNKNOWN
        ]
        least = _RARE_SHARE * int((fates == TAKEN).sum())
        groups = [rows for rows in groups if len(rows) >= least]
        weights = [1.0] * len(groups)
    elif options.balance == "files" or any(source.weight is not None for source in sources):
        groups = [_taken(fates, owners == number) for number in range(len(sources))]
        weights = [1.0 if source.weight is None else source.weight for source in sources]
    else:
        return
    shares = [len(rows) / weight for rows, weight in zip(groups, weights, strict=True) if len(rows)]
    for rows, weight in zip(groups, weights, strict=True):
        # Rounding errors must not cost the file that limits the others a row.
        yield rows, max(1, int(min(shares) * weight + 1e-6))
