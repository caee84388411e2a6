"""Which webhook deliveries are due, in Redis.

    finetuned:webhooks-due                        endpoints ("project/webhook"), by next due time
    finetuned:{project}:webhook-due:{webhook}     an endpoint's events, by due time

Workers take endpoints, not events, so that the backlog of one endpoint delays no other. The
scripts keep the two sets consistent. Times are those of Redis.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from redis.asyncio.client import Pipeline

from service.core.records import PREFIX
from service.core.redis import Client, reply, text

DUE = f"{PREFIX}:webhooks-due"
_PAGE = 100

# Sets when an endpoint is next due: at its earliest event, but not in the past, so that an
# endpoint that was just served goes behind the others.
#   KEYS[1]  endpoints; KEYS[2] the endpoint's events
#   ARGV     the endpoint, the earliest time
_SETTLE = """
local head = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
if #head == 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
local earliest = ARGV[2]
if tonumber(head[2]) > tonumber(earliest) then earliest = head[2] end
return redis.call('ZADD', KEYS[1], earliest, ARGV[1])
"""


class Address(NamedTuple):
    """An endpoint of a project."""

    project_id: str
    webhook_id: str

    @property
    def member(self) -> str:
        """Its name in the set of endpoints."""
        return f"{self.project_id}/{self.webhook_id}"

    @property
    def due_key(self) -> str:
        """The Redis key of its due events."""
        return f"{PREFIX}:{self.project_id}:webhook-due:{self.webhook_id}"

    @classmethod
    def of(cls, member: bytes) -> Address:
        """The endpoint of this name."""
        project_id, webhook_id = text(member).split("/", 1)
        return cls(project_id, webhook_id)


class Schedule:
    """The due times of all deliveries."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    async def now_s(self) -> float:
        """The time of Redis, which all workers share."""
        seconds, micros = await self._redis.time()
        return float(seconds + micros / 1e6)

    async def due_endpoints(self, now_s: float) -> AsyncIterator[Address]:
        """Endpoints with a due event, the longest due first."""
        start = 0
        while True:
            members = await self._redis.zrangebyscore(DUE, "-inf", now_s, start, _PAGE)
            for member in members:
                yield Address.of(member)
            if len(members) < _PAGE:
                return
            start += _PAGE

    async def due_event(self, address: Address, now_s: float) -> str | None:
        """The id of the event of an endpoint that is due the longest."""
        found = await self._redis.zrangebyscore(address.due_key, "-inf", now_s, 0, 1)
        return text(found[0]) if found else None

    def put_first(self, pipe: Pipeline, address: Address, event_id: str, now_s: float) -> None:
        """Add to a transaction that an event is the endpoint's next, and due now."""
        pipe.zadd(address.due_key, {event_id: 0})
        pipe.zadd(DUE, {address.member: now_s}, lt=True)

    async def settle(self, address: Address, earliest_s: float) -> None:
        """Set when the endpoint is next due, or remove it if no event waits."""
        await reply(
            self._redis.eval(_SETTLE, 2, DUE, address.due_key, address.member, str(earliest_s))
        )

    async def remove_event(self, address: Address, event_id: str) -> None:
        """Remove an event that has no delivery."""
        await self._redis.zrem(address.due_key, event_id)

    async def remove(self, address: Address) -> None:
        """Remove an endpoint and its events."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(address.due_key)
            pipe.zrem(DUE, address.member)
            await pipe.execute()

    async def pending(self) -> int:
        """The number of deliveries that wait for their next attempt."""
        members = await self._redis.zrange(DUE, 0, -1)
        async with self._redis.pipeline(transaction=False) as pipe:
            for member in members:
                pipe.zcard(Address.of(member).due_key)
            return sum(await pipe.execute()) if members else 0
