"""Streams the events of a job as server-sent events, resumable with `Last-Event-ID`.

All streams of a process share its one subscription to Redis (core/invalidation.py), so an idle
stream costs no commands and no connection.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from service.core.errors import ApiError
from service.core.invalidation import InvalidationKind, Invalidations
from service.core.redis import REDIS_ERRORS, why
from service.jobs.records import EventRecord, Jobs
from service.jobs.schemas.jobs import EventObject

_KEEP_ALIVE_S: Final = 15.0
"""Longest silence of a stream: below the idle limits of common proxies."""
# A single line feed: after a blank line, the OpenAI SDK would see an empty event.
_KEEP_ALIVE: Final = b": keep-alive\n"
_MAX_READERS: Final = 16  # of the 64 connections to Redis that all requests share
log = logging.getLogger(__name__)
_REREAD_S: Final = 60.0  # in case a message was lost with a subscription that Redis has dropped
_PAGE: Final = 500


class JobChanges:
    """Wakes the event streams of this process when their job changes."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, set[asyncio.Event]]] = {}  # by project and job
        self.reading = asyncio.Semaphore(_MAX_READERS)
        """Held while a stream reads from Redis: after a lost subscription, all streams do."""

    def listen(self, invalidations: Invalidations) -> None:
        """Subscribe to changes of jobs, and of keys and projects: streams check their callers."""
        invalidations.on(InvalidationKind.JOB, self._job_changed)
        invalidations.on(InvalidationKind.KEY, self._project_changed)
        invalidations.on(InvalidationKind.PROJECT, self._project_changed)
        invalidations.on_gap(self._all_changed)

    @contextmanager
    def watch(self, project_id: str, job_id: str) -> Iterator[asyncio.Event]:
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


async def server_sent_events(
    jobs: Jobs,
    changes: JobChanges,
    project_id: str,
    job_id: str,
    last_event_id: str | None,
    check_caller: Callable[[], Awaitable[object]],
) -> AsyncGenerator[bytes, None]:
    """Yield events after `last_event_id`, oldest first, until the job has a final status.

    `check_caller` raises ApiError when the caller's key is no longer valid. The stream then ends
    with an error event, which the SDKs raise as an exception. It is called after each change and
    each silence. While Redis is unavailable, the stream is silent.
    """
    cursor, sent_at, read_at = last_event_id, time.monotonic(), 0.0
    with changes.watch(project_id, job_id) as change:
        while True:
            change.clear()
            is_over, events = False, list[EventRecord]()
            try:
                await check_caller()
                if time.monotonic() >= read_at:
                    async with changes.reading:
                        is_over, events = await _read_new(jobs, project_id, job_id, cursor)
                    read_at = time.monotonic() + _REREAD_S * random.uniform(0.5, 1)  # noqa: S311
            except ApiError as e:
                yield f"data: {json.dumps(e.body())}\n\n".encode()
                return
            except REDIS_ERRORS as e:
                log.info("a stream of events waits for Redis: %s", why(e))
            for event in events:
                cursor, sent_at = event.id, time.monotonic()
                yield _encode(event)
            if len(events) == _PAGE:
                read_at = 0.0  # there may be more
                continue
            if is_over:
                yield b"data: [DONE]\n\n"
                return
            if await _wait(change, sent_at + _KEEP_ALIVE_S - time.monotonic()):
                read_at = 0.0
            else:
                sent_at = time.monotonic()
                yield _KEEP_ALIVE


async def _read_new(
    jobs: Jobs, project_id: str, job_id: str, cursor: str | None
) -> tuple[bool, list[EventRecord]]:
    """Return whether the job has ended, and its first events after the cursor."""
    # Read the status before the events, so that the events written together with a final status
    # are always included.
    job = await jobs.get(project_id, job_id)
    events = await jobs.events_after(project_id, job_id, cursor, limit=_PAGE)
    return job is None or job.is_final, events


def _encode(event: EventRecord) -> bytes:
    body = EventObject.from_record(event)
    head = f"id: {event.id}\nevent: {body.object}\n"
    return f"{head}data: {body.model_dump_json()}\n\n".encode()


async def _wait(change: asyncio.Event, within_s: float) -> bool:
    """Wait for a change. Returns False if there was none in time."""
    try:
        async with asyncio.timeout(within_s):
            return await change.wait()
    except TimeoutError:
        return False
