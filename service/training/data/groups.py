"""Rewards of the answers to one prompt, and what each answer has to do with them.

Pure arithmetic, without torch: the advantages of TRL's GRPO with its default `scale_rewards`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

# TRL adds it to the standard deviation.
_LEAST_DEVIATION: Final = 1e-4


def advantages(rewards: Sequence[float | None]) -> list[float]:
    """How much better each answer is than the group, in standard deviations of the group.

    An answer without a reward does not belong to the group, and gets 0. So do all answers if fewer
    than two have a reward, or if the rewards are equal.
    """
    known = [reward for reward in rewards if reward is not None]
    if is_equal(rewards):
        return [0.0] * len(rewards)
    mean = math.fsum(known) / len(known)
    variance = math.fsum((reward - mean) ** 2 for reward in known) / (len(known) - 1)
    scale = math.sqrt(variance) + _LEAST_DEVIATION
    return [0.0 if reward is None else (reward - mean) / scale for reward in rewards]


def is_equal(rewards: Sequence[float | None]) -> bool:
    """Whether nothing can be learned from a group: no two of its rewards differ."""
    return len({reward for reward in rewards if reward is not None}) < 2
