"""Time that a job spends in each phase, for metrics and traces."""

from __future__ import annotations

import time
from typing import Literal

from service.core import metrics, tracing
from service.jobs.records import JobRecord

Phase = Literal["preparing", "queued", "attempt", "loading", "training", "registering"]
_OF_TRAINER = frozenset({"loading", "training"})


def waited(phase: Phase, job: JobRecord, seconds: float) -> None:
    """Record that the job was in this phase for the given seconds, ending now."""
    seconds = max(seconds, 0)
    metrics.JOB_SECONDS.cell(phase).observe(seconds)
    tracing.begin(f"job.{phase}", parent=job.trace, ago_s=seconds, job=job.id).end()


class Phases:
    """Phases of one attempt; each ends when the next begins."""

    def __init__(self) -> None:
        self._current: Phase | None = None
        self._began = 0.0
        self._span = tracing.Span()

    def enter(self, phase: Phase, **facts: tracing.Value) -> None:
        """Enter a phase; `facts` are attributes of the phase that ends."""
        self.end(**facts)
        self._current, self._began = phase, time.monotonic()
        # The trainer talks only to the worker, so the worker records the spans for it.
        self._span = tracing.begin(f"{'trainer' if phase in _OF_TRAINER else 'job'}.{phase}")

    def end(self, **facts: tracing.Value) -> None:
        """End the current phase, if any; `facts` become its attributes."""
        if self._current is None:
            return
        metrics.JOB_SECONDS.cell(self._current).observe(time.monotonic() - self._began)
        self._span.set(**facts)
        self._span.end()
        self._current = None
