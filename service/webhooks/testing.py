"""A test of an endpoint: a worker delivers a sample event, and its attempt is waited for.

The api itself connects to no endpoint.
"""

from __future__ import annotations

import asyncio
import time

from service.core import ids
from service.webhooks.events import Event, EventType
from service.webhooks.records import MAX_LOGGED, Attempt, Delivery, Endpoint, Webhooks

SAMPLE_JOB = f"{ids.JOB}{'0' * 24}"
_POLL_S = 0.1


async def attempt_of_sample(
    webhooks: Webhooks, endpoint: Endpoint, event_type: EventType, within_s: float
) -> Attempt | None:
    """What came of a sample event; None, and it is withdrawn, if no worker sent it in time."""
    event = Event(
        id=ids.new(ids.WEBHOOK_EVENT),
        project_id=endpoint.project_id,
        created_at=ids.now_s(),
        type=event_type,
        subject_id=SAMPLE_JOB,
    )
    delivery = Delivery(
        id=event.id,
        project_id=event.project_id,
        created_at=event.created_at,
        event=event,
        test=True,
    )
    until = time.monotonic() + within_s
    await webhooks.add(endpoint.address, delivery)
    try:
        while time.monotonic() < until:
            await asyncio.sleep(_POLL_S)
            attempts, _ = await webhooks.log(endpoint.address, None, MAX_LOGGED)
            for attempt in attempts:
                if attempt.event_id == event.id:
                    return attempt
        return None
    finally:
        await webhooks.withdraw(endpoint.address, delivery)
