"""The order in which a run sees its samples: a pure function of seed and epoch, so that a
resumed run goes on exactly where the first one was."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

# Batches are formed by length within blocks of this many batches: large enough that little
# is padded, small enough that an epoch is still mixed.
_BLOCK_BATCHES: Final = 50


def epoch_order(
    lengths: Sequence[int], *, batch_size: int, seed: int, epoch: int, by_length: bool
) -> list[int]:
    """Indices of all samples, batch after batch; the last batch may be short.

    With `by_length`, samples of one batch are of similar length, longest first, and batches
    are in random order. The longest batch of all comes first in epoch 0, so that what does
    not fit in memory fails at once and not after hours.
    """
    chance = random.Random(f"{seed}/{epoch}")  # noqa: S311  # no secret: an order
    order = list(range(len(lengths)))
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
    """`count` evenly spread steps, the last of them the last of the run."""
    return frozenset(max(1, round(total_steps * part / count)) for part in range(1, count + 1))
