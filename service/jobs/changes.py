"""Wakes the event streams of an API process when their job changes.

All streams of a process share its one subscription to Redis (core/invalidation.py), so an idle
stream costs no commands and no connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from service.core.invalidation import InvalidationKind, Invalidations

_READING_AT_ONCE: Final = 16  # of the 64 connections to Redis that all requests share


class JobChanges:
    """The event streams of this process that wait for a change."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, set[asyncio.Event]]] = {}  # by project and job
        self.reading = asyncio.Semaphore(_READING_AT_ONCE)
        """Held while a stream reads from Redis: after a lost subscription, all streams do."""

    def listen(self, invalidations: Invalidations) -> None:
        """Subscribe to changes of jobs, and of keys and projects: streams check their callers."""
        invalidations.on(InvalidationKind.JOB, self._job_changed)
        invalidations.on(InvalidationKind.KEY, self._project_changed)
        invalidations.on(InvalidationKind.PROJECT, self._project_changed)
        invalidations.on_gap(self._all_changed)

    @contextmanager
    def of(self, project_id: str, job_id: str) -> Iterator[asyncio.Event]:
        """Set an event whenever the job may have changed, during a block."""
        change = asyncio.Event()
        jobs = self._waiting.setdefault(project_id, {})
        jobs.setdefault(job_id, set()).add(change)
        try:
            yield change
        finally:
            jobs[job_id].discard(change)
            if not jobs[job_id]:
                del jobs[job_id]
            if not jobs:
                self._waiting.pop(project_id, None)

    def _job_changed(self, project_id: str, job_id: str) -> None:
        _set(self._waiting.get(project_id, {}).get(job_id, ()))

    def _project_changed(self, project_id: str, _: str) -> None:
        for changes in self._waiting.get(project_id, {}).values():
            _set(changes)

    def _all_changed(self) -> None:
        for project_id in self._waiting:
            self._project_changed(project_id, "")


def _set(changes: Iterable[asyncio.Event]) -> None:
    for change in changes:
        change.set()
