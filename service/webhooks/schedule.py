"""Keeps the due times of webhook deliveries in Redis.

    finetuned:webhooks-due                        endpoints ("project/webhook"), by next due time
    finetuned:{project}:webhook-due:{webhook}     an endpoint's events, by due time

Workers take endpoints, not events, so that one endpoint's backlog does not delay the others. The
scripts keep the two sets consistent. All times come from the clock of Redis.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from redis.asyncio.client import Pipeline

from service.core.records import PREFIX
from service.core.redis import Client, reply, text

DUE = f"{PREFIX}:webhooks-due"
_PAGE = 100

# Sets an endpoint's next due time to that of its earliest event, but not before ARGV[2]. An
# endpoint that a worker has just served thus moves behind the others.
#   KEYS[1]  endpoints; KEYS[2] the endpoint's events
#   ARGV     the endpoint, the earliest time allowed
_RESCHEDULE = """
local head = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if #head == 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
local earliest = ARGV[2]
if tonumber(head[2]) > tonumber(earliest) then earliest = head[2] end
return redis.call('ZADD', KEYS[1], earliest, ARGV[1])
"""


class Address(NamedTuple):
    """Project ID and webhook ID of an endpoint."""

    project_id: str
    webhook_id: str

    @property
    def member(self) -> str:
        """The endpoint's name in the set of endpoints."""
        return f"{self.project_id}/{self.webhook_id}"

    @property
    def due_key(self) -> str:
        """The Redis key of the endpoint's events."""
        return f"{PREFIX}:{self.project_id}:webhook-due:{self.webhook_id}"

    @classmethod
    def parse(cls, member: bytes) -> Address:
        """Parse an endpoint's name in the set of endpoints."""
        project_id, webhook_id = text(member).split("/", 1)
        return cls(project_id, webhook_id)


class Schedule:
    """Due times of the deliveries of all projects."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def now_s(self) -> float:
        """Return the time in seconds on the clock of Redis, which all workers share."""
        seconds, micros = await self._redis.time()
        return float(seconds + micros / 1e6)

    async def due_endpoints(self, now_s: float) -> AsyncIterator[Address]:
        """Yield the endpoints with a due event, longest overdue first."""
        start = 0
        while True:
            members = await self._redis.zrangebyscore(DUE, "-inf", now_s, start, _PAGE)
            for member in members:
                yield Address.parse(member)
            if len(members) < _PAGE:
                return
            start += _PAGE

    async def due_event(self, address: Address, now_s: float) -> str | None:
        """Return the ID of the endpoint's longest overdue event, or None if none is due."""
        found = await self._redis.zrangebyscore(address.due_key, "-inf", now_s, 0, 1)
        return text(found[0]) if found else None

    def put_first(self, pipe: Pipeline, address: Address, event_id: str, now_s: float) -> None:
        """Make an event the endpoint's next and due now, as part of a transaction."""
        pipe.zadd(address.due_key, {event_id: 0})
        pipe.zadd(DUE, {address.member: now_s}, lt=True)

    async def reschedule(self, address: Address, earliest_s: float) -> None:
        """Set the endpoint's next due time, or remove the endpoint if no event is left."""
        await reply(
            self._redis.eval(_RESCHEDULE, 2, DUE, address.due_key, address.member, str(earliest_s))
        )

    async def remove_event(self, address: Address, event_id: str) -> None:
        """Remove an event from the schedule."""
        await self._redis.zrem(address.due_key, event_id)

    async def remove(self, address: Address) -> None:
        """Remove an endpoint and its events from the schedule."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(address.due_key)
            pipe.zrem(DUE, address.member)
            await pipe.execute()

    async def pending(self) -> int:
        """Return the number of deliveries that wait for their next attempt."""
        members = await self._redis.zrange(DUE, 0, -1)
        async with self._redis.pipeline(transaction=False) as pipe:
            for member in members:
                pipe.zcard(Address.parse(member).due_key)
            return sum(await pipe.execute()) if members else 0
