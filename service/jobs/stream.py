"""Live stream of job events as server-sent events, resumable with `Last-Event-ID`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from service.core.errors import ApiError
from service.jobs.records import FINAL, Jobs
from service.jobs.schemas.events import EventObject

_POLL_S = 0.3
_KEEP_ALIVE_S = 15.0  # below the idle limits of common proxies


async def server_sent_events(
    jobs: Jobs,
    project_id: str,
    job_id: str,
    last_event_id: str | None,
    check_caller: Callable[[], Awaitable[object]],
) -> AsyncIterator[bytes]:
    """Yield events after `last_event_id`, oldest first, until the job has a final status.

    `check_caller` raises ApiError when the caller's key is no longer valid. The stream then ends
    with an error event, which the SDKs raise as an exception.

    This function polls Redis instead of blocking, because one blocked connection per listener
    would exhaust the pool that all requests share.
    """
    cursor, spoken = last_event_id, time.monotonic()
    while True:
        try:
            await check_caller()
        except ApiError as e:
            yield f"data: {json.dumps(e.body())}\n\n".encode()
            return
        # Read the status before the events, so that the events written together with a final
        # status are always included.
        job = await jobs.get(project_id, job_id)
        for event in await jobs.events_after(project_id, job_id, cursor):
            cursor, spoken = event.id, time.monotonic()
            body = EventObject.of(event)
            head = f"id: {event.id}\nevent: {body.object}\n"
            yield f"{head}data: {body.model_dump_json()}\n\n".encode()
        if job is None or job.status in FINAL:
            yield b"data: [DONE]\n\n"
            return
        if time.monotonic() - spoken > _KEEP_ALIVE_S:
            spoken = time.monotonic()
            # A single line feed: after a blank line, the OpenAI SDK would see an empty event.
            yield b": keep-alive\n"
        await asyncio.sleep(_POLL_S)
