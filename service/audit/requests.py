"""Entries of the audit log about requests to models, one for each key and minute.

The API counts the requests with their usage, in the same step (usage/scripts.py). Here, the counts
of minutes that have ended become entries.
"""

from __future__ import annotations

from typing import Final

from redis.asyncio.client import Pipeline

from service.core import clock
from service.core.redis import Client, reply, text
from service.core.redis.transactions import Write, commit
from service.usage.keys import AUDITED
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.audit_trail import Actor, Entry

_MINUTE_S: Final = 60
_SETTLED_S: Final = 10  # after which most counts of a minute have arrived
_AT_ONCE: Final = 1000


async def record(redis: Client) -> int:
    """Write the entries of minutes that have ended. Returns their number.

    Counts that arrive later, after an outage, become another entry of the same minute. Raises
    REDIS_ERRORS.
    """

    async def decide(pipe: Pipeline) -> tuple[int, Write | None]:
        found = await reply(pipe.hgetall(AUDITED))
        ended = [
            (text(field), int(number))
            for field, number in found.items()
            if int(field.split(b" ")[0]) + _MINUTE_S + _SETTLED_S <= clock.now()
        ][:_AT_ONCE]

        def write(pipe: Pipeline) -> None:
            for field, number in ended:
                audit_trail.append(pipe, _entry(field, number))
            pipe.hdel(AUDITED, *(field for field, _ in ended))

        return len(ended), write if ended else None

    return await commit(redis, [AUDITED], decide)


def _entry(field: str, requests: int) -> Entry:
    minute_s, project_id, key_id, *batch = field.split(" ")
    return Entry(
        id=audit_trail.new_id(clock.now()),
        at=float(minute_s),
        type=AuditEvent.MODEL_REQUESTED,
        actor=Actor("api_key", key_id, project_id),
        outcome="succeeded",
        project_id=project_id,
        counts={"requests": requests, **({"batch": 1} if batch else {})},
    )
