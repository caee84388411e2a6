"""How long a job is in each of its phases, for metrics."""

from __future__ import annotations

import time
from typing import Literal

from service.core import metrics

Phase = Literal["preparing", "queued", "attempt", "loading", "training", "registering"]


def observe(phase: Phase, seconds: float) -> None:
    """Count a phase that has ended."""
    metrics.JOB_SECONDS.labels(phase).observe(max(seconds, 0))


class Phases:
    """One attempt's phases: each ends where the next begins."""

    def __init__(self) -> None:
        self._current: Phase | None = None
        self._began = 0.0

    def enter(self, phase: Phase) -> None:
        """The attempt is in this phase from now on."""
        self.end()
        self._current, self._began = phase, time.monotonic()

    def end(self) -> None:
        """The attempt is over, or its last phase is."""
        if self._current is not None:
            observe(self._current, time.monotonic() - self._began)
        self._current = None
