"""Learning-rate schedule of a run."""

from __future__ import annotations

import math
from typing import Final

_WARMUP_SHARE: Final = 0.03


def rate_factor(step: int, total_steps: int) -> float:
    """Fraction of the full learning rate at a step, counted from 0.

    It rises linearly over a short warmup, then follows half a cosine toward 0. It is never 0
    itself: in a run of forty steps, a step without an update is a noticeable loss.
    """
    warmup = math.ceil(total_steps * _WARMUP_SHARE)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(total_steps - warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
