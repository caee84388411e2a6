"""Live stream of job events as server-sent events, resumable with `Last-Event-ID`."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

from service.core.errors import ApiError
from service.core.redis import REDIS_ERRORS, why
from service.jobs.changes import JobChanges
from service.jobs.records import FINAL, EventRecord, Jobs
from service.jobs.schemas.events import EventObject

log = logging.getLogger(__name__)
KEEP_ALIVE_S: Final = 15.0
"""Longest silence of a stream: below the idle limits of common proxies."""
_LOOK_S: Final = 60.0  # for a lost message. Only a subscription that Redis has dropped loses one
_READ_AT_ONCE: Final = 500


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
    with an error event, which the SDKs raise as an exception. It is asked after each change and
    each silence. While Redis is unavailable, the stream is silent.
    """
    cursor, spoken, look_at = last_event_id, time.monotonic(), 0.0
    with changes.of(project_id, job_id) as change:
        while True:
            change.clear()
            is_over, events = False, list[EventRecord]()
            try:
                await check_caller()
                if time.monotonic() >= look_at:
                    async with changes.reading:
                        is_over, events = await _news(jobs, project_id, job_id, cursor)
                    look_at = time.monotonic() + _LOOK_S * random.uniform(0.5, 1)  # noqa: S311
            except ApiError as e:
                yield f"data: {json.dumps(e.body())}\n\n".encode()
                return
            except REDIS_ERRORS as e:
                log.info("a stream of events waits for Redis: %s", why(e))
            for event in events:
                cursor, spoken = event.id, time.monotonic()
                yield _shown(event)
            if len(events) == _READ_AT_ONCE:
                look_at = 0.0  # there may be more
                continue
            if is_over:
                yield b"data: [DONE]\n\n"
                return
            if await _is_set(change, spoken + KEEP_ALIVE_S - time.monotonic()):
                look_at = 0.0
            else:
                spoken = time.monotonic()
                # A single line feed: after a blank line, the OpenAI SDK would see an empty event.
                yield b": keep-alive\n"


async def _news(
    jobs: Jobs, project_id: str, job_id: str, cursor: str | None
) -> tuple[bool, list[EventRecord]]:
    """Return whether the job has ended, and its first events after the cursor."""
    # Read the status before the events, so that the events written together with a final status
    # are always included.
    job = await jobs.get(project_id, job_id)
    events = await jobs.events_after(project_id, job_id, cursor, limit=_READ_AT_ONCE)
    return job is None or job.status in FINAL, events


def _shown(event: EventRecord) -> bytes:
    body = EventObject.of(event)
    head = f"id: {event.id}\nevent: {body.object}\n"
    return f"{head}data: {body.model_dump_json()}\n\n".encode()


async def _is_set(change: asyncio.Event, within_s: float) -> bool:
    """Wait for a change. Returns False if there was none in time."""
    try:
        async with asyncio.timeout(within_s):
            return await change.wait()
    except TimeoutError:
        return False
