"""Computes the order of the samples of a run, and their layout in memory, without torch.

The order is a function of seed and epoch, so a resumed run continues exactly where the first one
left off. In a mixture of files, each epoch draws the next examples of each file.

A part is what goes through the model at once: rows of one width. The budget is in positions (rows x
width), including padding, because memory and time scale with positions.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from typing import Final, Literal

from service.training.contract.replay import WINDOW_STEPS
from service.training.contract.spec import MixedRows, drawn_per_epoch
from service.training.data.rows import TrainingRow

# Batches are grouped by length within blocks of this many batches: large enough to need little
# padding, small enough to keep an epoch mixed.
_BLOCK_BATCHES: Final = 50


def epoch_order(
    lengths: Sequence[int],
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    by_length: bool,
    drawn: Sequence[int] | None = None,
) -> list[int]:
    """Return the indices of all samples, batch by batch; the last batch may be short.

    `drawn` are the indices of the samples of this epoch, if they are not all samples.

    With `by_length`, the samples of a batch have similar lengths, longest first, and batches are in
    random order. The longest batch comes first in epoch 0, so that a run that does not fit in
    memory fails at once and not after hours.
    """
    chance = random.Random(f"{seed}/{epoch}")  # noqa: S311  # not a secret: only an order
    order = list(range(len(lengths)) if drawn is None else drawn)
    chance.shuffle(order)
    if not by_length:
        return order
    whole = len(order) - len(order) % batch_size
    batches: list[list[int]] = []
    block = batch_size * _BLOCK_BATCHES
    for start in range(0, whole, block):
        similar = sorted(order[start : min(start + block, whole)], key=lambda i: -lengths[i])
        batches += [similar[at : at + batch_size] for at in range(0, len(similar), batch_size)]
    chance.shuffle(batches)
    if epoch == 0 and batches:
        longest = max(range(len(batches)), key=lambda at: lengths[batches[at][0]])
        batches[0], batches[longest] = batches[longest], batches[0]
    tail = sorted(order[whole:], key=lambda i: -lengths[i])
    return [index for batch in [*batches, tail] for index in batch]


def checkpoint_steps(total_steps: int, count: int) -> frozenset[int]:
    """Return `count` evenly spaced steps, the last of which is the last step of the run."""
    return frozenset(max(1, round(total_steps * part / count)) for part in range(1, count + 1))


def window_starts(total_steps: int, n_checkpoints: int, windows: int) -> frozenset[int]:
    """Return the steps whose states are kept, from which a replay starts (`contract.replay`).

    They divide the run into `windows` parts of at least `WINDOW_STEPS`, but at least one per
    checkpoint; none if `windows` is 0. One more is shortly before the end, so that the last weights
    are computed again in a few steps.
    """
    if windows == 0:
        return frozenset()
    parts = max(1, min(windows, total_steps // WINDOW_STEPS) // n_checkpoints)
    inner = checkpoint_steps(total_steps, n_checkpoints * parts) - {total_steps}
    return inner | {step for step in [total_steps - WINDOW_STEPS] if step > 0}


# Contents of a row. "padded": one sample, padded. "packed": samples that fill it up to the width of
# the longest, padded. "joined": samples end to end, one row per part.
Rows = Literal["padded", "packed", "joined"]

# With a packing mask, a step keeps 6% more for its backward pass (SmolLM2-135M: keys and values are
# repeated for every query head), so batches of similar length with little padding are not packed.
# Joined rows add no cost; the small threshold only keeps the choice stable.
_PADDING_WORTH: Final = {"packed": 0.1, "joined": 0.02}


def padded_parts(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group examples into parts, longest first, each padded to the longest of its part.

    A single example may exceed the budget.
    """
    parts: list[list[int]] = []
    width = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if parts and (len(parts[-1]) + 1) * width <= budget:
            parts[-1].append(index)
        else:
            parts.append([index])
            width = lengths[index]
    return parts


def packed_parts(lengths: Sequence[int], budget: int) -> list[list[list[int]]]:
    """Group samples into parts of packed rows, as lists of rows of samples.

    Rows are as wide as the longest sample, so that attention sees no wider rows than without
    packing.
    """
    width = max(lengths)
    rows = pack(lengths, width)
    at_once = max(budget // width, 1)
    return [rows[at : at + at_once] for at in range(0, len(rows), at_once)]


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Assign samples to rows: each sample, longest first, goes to the row with the tightest fit."""
    rows: list[list[int]] = []
    free: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fitting = [row for row, room in enumerate(free) if room >= lengths[index]]
        if fitting:
            best = min(fitting, key=free.__getitem__)
            rows[best].append(index)
            free[best] -= lengths[index]
        else:
            rows.append([index])
            free.append(capacity - lengths[index])
    return rows


@dataclass(frozen=True, slots=True)
class BatchLayout:
    """Size of one epoch.

    `tokens` excludes padding, and `positions` counts everything that is computed. `widest` is the
    largest part, in positions, and `parts` is the number of parts.
    """

    tokens: int
    positions: int
    widest: int
    parts: int

    @property
    def padding_share(self) -> float:
        return 1 - self.tokens / max(self.positions, 1)


def lay_out_epoch(
    lengths: Sequence[int], *, batch_size: int, budget: int, seed: int, rows: Rows
) -> BatchLayout:
    """Return the layout of the first epoch.

    `lengths` are those of the examples. For pairs, halve the budget and double the results.
    """
    by_length = rows == "padded"
    order = epoch_order(lengths, batch_size=batch_size, seed=seed, epoch=0, by_length=by_length)
    sizes: list[int] = []
    for start in range(0, len(order), batch_size):
        batch = [lengths[index] for index in order[start : start + batch_size]]
        sizes += _part_sizes(batch, budget, rows)
    return BatchLayout(
        tokens=sum(lengths), positions=sum(sizes), widest=max(sizes), parts=len(sizes)
    )


def _part_sizes(batch: Sequence[int], budget: int, rows: Rows) -> list[int]:
    if rows == "padded":
        return [len(part) * batch[part[0]] for part in padded_parts(batch, budget)]
    if rows == "joined":
        return [sum(batch[i] for i in row) for row in pack(batch, budget)]
    return [
        len(part) * max(sum(batch[i] for i in row) for row in part)
        for part in packed_parts(batch, budget)
    ]


def choose_packing(
    lengths: Sequence[int],
    *,
    batch_size: int,
    budget: int,
    seed: int,
    into: Literal["packed", "joined"],
) -> tuple[bool, str]:
    """Resolve ``packing: "auto"`` for samples of these lengths and return the reason.

    `into` is the kind of rows that packing would produce.
    """
    grouped, packed = (
        lay_out_epoch(lengths, batch_size=batch_size, budget=budget, seed=seed, rows=rows)
        for rows in ("padded", into)
    )
    figures = (
        f"batches of similar length are {grouped.padding_share:.0%} padding, packed rows "
        f"{packed.padding_share:.0%}"
    )
    is_worth_it = grouped.padding_share > _PADDING_WORTH[into] and (
        packed.positions < 0.95 * grouped.positions or into == "joined"
    )
    if is_worth_it:
        return True, f"Samples are packed: {figures}."
    return False, f"Samples are not packed but batched by length: {figures}."


@dataclass(frozen=True, slots=True)
class Portion:
    """The examples of one file, and how often each is drawn per epoch."""

    examples: int
    weight: float

    @property
    def drawn(self) -> int:
        """Number of examples per epoch."""
        return drawn_per_epoch(self.examples, self.weight)


def split_by_file(
    rows: Iterable[TrainingRow], mixture: Sequence[MixedRows]
) -> Iterator[tuple[int, Iterator[TrainingRow]]]:
    """Divide the rows of a mixture by file, with their line numbers in that file.

    Yields the file's index in the mixture and its rows. Files without rows are left out.
    """
    starts = [0, *accumulate(part.rows for part in mixture)]

    def file_index(row: TrainingRow) -> int:
        return bisect_right(starts, row.line - 1) - 1

    for at, own in groupby(rows, key=file_index):
        yield at, (replace(row, line=row.line - starts[at]) for row in own)


def draw_examples(portions: Sequence[Portion], *, seed: int, epoch: int) -> list[int]:
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
