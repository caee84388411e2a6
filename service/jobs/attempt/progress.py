"""Progress of one attempt: its phases as metrics and spans, its speed and its estimated end."""

from __future__ import annotations

import time
from typing import Literal

from service.core import metrics, tracing
from service.jobs.metric_series import Interval
from service.jobs.records import JobRecord
from service.training.contract.protocol import Started, StepDone

# A long training must not flood Redis: a job gets about this many metrics events, plus one for
# every step with a validation loss.
_MAX_EVENTS = 2000
Phase = Literal["preparing", "queued", "attempt", "loading", "training", "registering"]
_TRAINER_PHASES = frozenset({"loading", "training"})


class StepProgress:
    """Steps of one attempt: which of them get an event, its speed and its estimated finish."""

    def __init__(self) -> None:
        self._total = 0
        self._first_step = 0
        self._step = 0
        self._tokens = 0
        self._began = time.monotonic()
        self.new_tokens = 0
        self._first_tokens: int | None = None
        self._first_at = self._last_at = 0.0
        self.interval = Interval()
        """Steps since the last one that got an event."""

    @property
    def tokens_per_second(self) -> float | None:
        """Speed of this attempt with evaluations and checkpoints; None before its second step."""
        if self._first_tokens is None or self._tokens <= self._first_tokens:
            return None
        seconds = self._last_at - self._first_at
        return (self._tokens - self._first_tokens) / seconds if seconds > 0 else None

    def begin(self, message: Started) -> None:
        """Record that the trainer starts its first step now."""
        self._total = message.total_steps
        self._first_step = self._step = message.resumed_step
        self._began = time.monotonic()

    def advance(self, message: StepDone) -> None:
        """Record a completed step."""
        self.interval.add(message)
        self._step = message.step
        self.new_tokens = max(0, message.trained_tokens - self._tokens)
        self._tokens = message.trained_tokens
        if self._first_tokens is None:
            # The first step includes warm-up, so the speed counts only later steps.
            self._first_tokens, self._first_at = self._tokens, time.monotonic()
        self._last_at = time.monotonic()

    def is_reported(self, message: StepDone) -> bool:
        """Return whether this step gets an event."""
        every = max(1, self._total // _MAX_EVENTS)
        measured = (message.valid_loss, message.full_valid_loss, message.valid_reward_mean)
        validated = any(value is not None for value in measured)
        return message.step % every == 0 or message.step == self._total or validated

    def estimated_finish(self, now_s: int) -> int | None:
        """Estimate the end in Unix seconds from the mean step time; None before the first step."""
        done = self._step - self._first_step
        if done <= 0:
            return None
        seconds_a_step = (time.monotonic() - self._began) / done
        return now_s + round(seconds_a_step * (self._total - self._step))


class Phases:
    """Phases of one attempt; each ends when the next begins."""

    def __init__(self) -> None:
        self._current: Phase | None = None
        self._began = 0.0
        self._span = tracing.Span()

    def enter(self, phase: Phase, **attributes: tracing.Value) -> None:
        """Enter a phase; `attributes` are attributes of the phase that ends."""
        self.end(**attributes)
        self._current, self._began = phase, time.monotonic()
        # The trainer talks only to the worker, so the worker records the spans for it.
        self._span = tracing.begin(f"{'trainer' if phase in _TRAINER_PHASES else 'job'}.{phase}")

    def end(self, **attributes: tracing.Value) -> None:
        """End the current phase, if any; `attributes` become its attributes."""
        if self._current is None:
            return
        metrics.JOB_SECONDS.cell(self._current).observe(time.monotonic() - self._began)
        self._span.set(**attributes)
        self._span.end()
        self._current = None


def record_wait(phase: Phase, job: JobRecord, seconds: float) -> None:
    """Record that the job was in this phase for the given seconds, ending now."""
    seconds = max(seconds, 0)
    metrics.JOB_SECONDS.cell(phase).observe(seconds)
    tracing.begin(f"job.{phase}", parent=job.trace, ago_s=seconds, job=job.id).end()
