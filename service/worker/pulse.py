"""Whether the background loops of a worker still go round."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pulse:
    """When each loop last went round. A round counts however it ended."""

    def __init__(self, *, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._beats: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        """Note that a loop goes round."""
        self._beats[loop] = self._clock()

    def stalled(self) -> list[str]:
        """The loops that have not gone round for `patience_s`, by name."""
        oldest = self._clock() - self._patience_s
        return sorted(loop for loop, beat in self._beats.items() if beat < oldest)
