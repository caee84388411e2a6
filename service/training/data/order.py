"""Order in which a run sees its samples: a pure function of seed and epoch.

A resumed run therefore continues exactly where the first one left off.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

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
    """Indices of all samples, batch by batch; the last batch may be short.

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


def pause_step(total_steps: int, count: int, after: float | None) -> int | None:
    """The one of the `checkpoint_steps` that is nearest to this share of the run.

    None without a share, or if it is the last step.
    """
    if after is None:
        return None
    place = total_steps * after
    step = min(checkpoint_steps(total_steps, count), key=lambda step: (abs(step - place), step))
    return step if step < total_steps else None


def checkpoint_steps(total_steps: int, count: int) -> frozenset[int]:
    """`count` evenly spaced steps, the last of which is the last step of the run."""
    return frozenset(max(1, round(total_steps * part / count)) for part in range(1, count + 1))
