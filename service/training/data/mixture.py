"""Mixtures of training files: the rows of each, and the examples that an epoch draws."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby

from service.training.contract.mixture import MixedRows, drawn_per_epoch
from service.training.data.judged import Line


@dataclass(frozen=True, slots=True)
class Portion:
    """The examples of one file, and how often each is drawn per epoch."""

    examples: int
    weight: float

    @property
    def drawn(self) -> int:
        """Number of examples per epoch."""
        return drawn_per_epoch(self.examples, self.weight)


def by_file(
    rows: Iterable[Line], mixture: Sequence[MixedRows]
) -> Iterator[tuple[int, Iterator[Line]]]:
    """Divide the rows of a mixture by file, with the line numbers that they have there.

    Yields the file's place in the mixture and its rows. Files without rows are left out.
    """
    starts = [0, *accumulate(part.rows for part in mixture)]

    def place(row: Line) -> int:
        return bisect_right(starts, row.line - 1) - 1

    for at, own in groupby(rows, key=place):
        yield at, (replace(row, line=row.line - starts[at]) for row in own)


def draw(portions: Sequence[Portion], *, seed: int, epoch: int) -> list[int]:
    """Return the indices of the examples that an epoch draws: a pure function of seed and epoch.

    Each epoch draws the next of a file's examples, in a random order, so that no example is drawn
    again before all others of its file were.
    """
    indices: list[int] = []
    start = 0
    for place, portion in enumerate(portions):
        if portion.examples:
            order = list(range(start, start + portion.examples))
            random.Random(f"{seed}/draw/{place}").shuffle(order)  # noqa: S311  # not a secret
            first = epoch * portion.drawn
            indices += (order[at % portion.examples] for at in range(first, first + portion.drawn))
        start += portion.examples
    return sorted(indices)


def row_weights(mixture: Sequence[MixedRows]) -> list[float]:
    """Return the weight of each row of a mixture."""
    return [part.weight for part in mixture for _ in range(part.rows)]
