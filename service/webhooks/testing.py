"""Endpoint tests: the api schedules a sample event and waits until a worker has sent it.

The api itself never connects to endpoints.
"""

from __future__ import annotations

import asyncio
import time

from service.core import ids
from service.core.outbox import Event
from service.webhooks.events import EventType
from service.webhooks.records import MAX_LOGGED, Attempt, Delivery, Endpoint, Webhooks

_POLL_S = 0.1


def sample_subject(event_type: EventType | str) -> str:
    """The ID of the job, sweep, run, export, batch or generation in a sample event."""
    kinds = {
        "fine_tuning.sweep": ids.SWEEP,
        "eval.run": ids.EVAL_RUN,
        "export": ids.EXPORT,
        "batch": ids.BATCH,
        "dataset.generation": ids.GENERATION,
    }
    return f"{kinds.get(event_type.rpartition('.')[0], ids.JOB)}{'0' * 24}"


async def attempt_of_sample(
    webhooks: Webhooks, endpoint: Endpoint, event_type: EventType, timeout_s: float
) -> Attempt | None:
    """Send a sample event and return the attempt.

    If no worker sends the event within `timeout_s` seconds, withdraws it and returns None.
    """
    event = Event(
        id=ids.new(ids.WEBHOOK_EVENT),
        project_id=endpoint.project_id,
        created_at=ids.now_s(),
        type=event_type,
        subject_id=sample_subject(event_type),
    )
    delivery = Delivery(
        id=event.id,
        project_id=event.project_id,
        created_at=event.created_at,
        event=event,
        test=True,
    )
    deadline = time.monotonic() + timeout_s
    await webhooks.add(endpoint.address, delivery)
    try:
        while time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
            attempts, _ = await webhooks.log(endpoint.address, None, MAX_LOGGED)
            for attempt in attempts:
                if attempt.event_id == event.id:
                    return attempt
        return None
    finally:
        await webhooks.withdraw(endpoint.address, delivery)
