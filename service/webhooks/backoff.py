"""When a failed delivery is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

_FACTOR = 8
_LONGEST_S = 6 * 3600
_JITTER = 0.2  # so that the deliveries of one outage do not all come back at once


@dataclass(frozen=True)
class Backoff:
    """Exponential delays: with the defaults 8 attempts within about 18 hours."""

    base_s: float
    max_attempts: int

    def delay_s(self, attempt: int) -> float | None:
        """Seconds from the failed attempt of this number to the next; None after the last."""
        if attempt >= self.max_attempts:
            return None
        delay_s: float = min(self.base_s * _FACTOR ** (attempt - 1), _LONGEST_S)
        return delay_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
