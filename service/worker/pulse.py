"""Liveness tracking for the background loops of a worker."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pulse:
    """Time of each loop's last iteration, whether or not the iteration succeeded."""

    def __init__(self, *, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._beats: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        """Record an iteration of a loop."""
        self._beats[loop] = self._clock()

    def stalled(self) -> list[str]:
        """Names of the loops without an iteration for `patience_s`, sorted."""
        oldest = self._clock() - self._patience_s
        return sorted(loop for loop, beat in self._beats.items() if beat < oldest)
