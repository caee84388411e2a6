"""Delays before failed webhook deliveries are retried."""

from __future__ import annotations

import random
from dataclasses import dataclass

_FACTOR = 8
_MAX_DELAY_S = 6 * 3600
_JITTER = 0.2  # spreads the retries of deliveries that failed at the same time


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff. With the default settings, 8 attempts take about 18 hours."""

    base_s: float
    max_attempts: int

    def delay_s(self, attempt: int) -> float | None:
        """Seconds from failed attempt number `attempt` to the next, or None after the last."""
        if attempt >= self.max_attempts:
            return None
        delay_s: float = min(self.base_s * _FACTOR ** (attempt - 1), _MAX_DELAY_S)
        return delay_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
