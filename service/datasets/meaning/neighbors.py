"""The nearest neighbors of vectors, found block by block without a matrix of all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from service.datasets.meaning.tensors import Floats
from service.datasets.parallel import map_ordered

NEIGHBORS = 12
_PRODUCTS_AT_ONCE = 8_000_000  # 32 MB

Places = np.ndarray[Any, np.dtype[np.int64]]


class Neighbors(NamedTuple):
    """The most similar vectors of each vector, in descending order, and their similarities."""

    places: Places
    similarities: Floats


def nearest(some: Floats, others: Floats | None = None, *, processes: int = 1) -> Neighbors:
    """Return the nearest of `others` for each of `some`; of the rest of `some` if None."""
    among = some if others is None else others
    step = max(_PRODUCTS_AT_ONCE // max(len(among), 1), 1)
    starts = [(start, min(start + step, len(some))) for start in range(0, len(some), step)]
    found = list(
        map_ordered(partial(_block, some, among, others is None), starts, processes=processes)
    )
    width = max(min(NEIGHBORS, len(among) - (others is None)), 0)
    empty = (np.zeros((0, width), np.int64), np.zeros((0, width), np.float32))
    return Neighbors(*(np.concatenate(parts) for parts in zip(empty, *found, strict=True)))


def _block(some: Floats, among: Floats, itself: bool, span: tuple[int, int]) -> tuple[Any, Any]:
    products = some[slice(*span)] @ among.T
    rows = np.arange(len(products))
    if itself:
        products[rows, rows + span[0]] = -np.inf
    width = min(NEIGHBORS, len(among) - itself)
    places = (
        np.argpartition(-products, width - 1, axis=1)[:, :width] if width else rows[:, None][:, :0]
    )
    values = products[rows[:, None], places]
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(places, order, 1), np.take_along_axis(values, order, 1)


def density(neighbors: Neighbors, replies: Any, replies_among: Any, nearest_of: int = 4) -> Floats:
    """Return how similar the nearest vectors with another answer are, on average.

    Encoders find all questions about one subject similar. What means the same is more similar than
    that. Rows with the same answer are not counted: they may all mean the same.
    """
    if not neighbors.places.shape[1]:
        return np.zeros(len(neighbors.places), dtype=np.float32)
    is_other = replies_among[neighbors.places] != replies[:, None]
    is_other[:, -1] |= ~is_other.any(axis=1)
    counted = is_other & (np.cumsum(is_other, axis=1) <= nearest_of)
    sums = np.where(counted, neighbors.similarities, 0).sum(axis=1)
    return np.asarray(sums / counted.sum(axis=1), dtype=np.float32)


def close_pairs(
    neighbors: Neighbors, own: Floats, theirs: Floats, margin: float
) -> Iterator[tuple[int, int, float]]:
    """Yield (row, neighbor, similarity) where the similarity exceeds both densities by `margin`.

    The clearest pairs come first.
    """
    above = neighbors.similarities - (own[:, None] + theirs[neighbors.places]) / 2
    rows, columns = np.nonzero(above >= margin)
    for at in np.argsort(-above[rows, columns], kind="stable"):
        row, column = int(rows[at]), int(columns[at])
        yield row, int(neighbors.places[row, column]), float(neighbors.similarities[row, column])
