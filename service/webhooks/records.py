"""Stores webhook endpoints, deliveries and delivery logs in Redis.

    finetuned:{project}:webhooks:{id}                       an endpoint
    finetuned:{project}:webhook-deliveries:{id}:{event}     an unfinished delivery
    finetuned:{project}:webhook-log:{id}                    a stream of the newest attempts

An endpoint's record contains its signing secret in plain text, because a digest cannot sign. The
secret is never logged, and the API returns it only when it is created.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio.client import Pipeline

from service.core import clock, ids
from service.core.outbox import Event
from service.core.records import PREFIX, Collection, Missing, Record, parse_known
from service.core.redis import Client, text
from service.webhooks.schedule import Address, Schedule
from service.webhooks.signing import new_secret

MAX_ENDPOINTS = 10  # per project
MAX_LOGGED = 100  # attempts kept per endpoint
LOG_LIFETIME_S = 30 * 24 * 3600
OLD_SECRET_LIFETIME_S = 24 * 3600
_LOG_ID = re.compile(rf"{ids.WEBHOOK_DELIVERY}[0-9]{{1,20}}-[0-9]{{1,20}}")


class Endpoint(Record):
    """A project's URL that receives events."""

    name: str
    url: str
    event_types: tuple[str, ...]
    secret: str = Field(repr=False)
    old_secret: str | None = Field(default=None, repr=False)
    old_secret_until: int | None = None
    updated_at: int
    disabled_at: int | None = None

    def secrets(self, now_s: int) -> list[str]:
        """Return the secrets that sign a request now: the current one, and an old one if kept."""
        if self.old_secret is None or now_s >= (self.old_secret_until or 0):
            return [self.secret]
        return [self.secret, self.old_secret]

    @property
    def address(self) -> Address:
        """The endpoint's address in the schedule."""
        return Address(self.project_id, self.id)


class Delivery(Record):
    """An unfinished delivery of an event to an endpoint. Its ID is that of the event."""

    event: Event
    attempt: int = 1  # number of the next attempt
    test: bool = False  # never retried


class Outcome(StrEnum):
    """Outcome of an attempt to deliver an event."""

    DELIVERED = "delivered"
    RETRYING = "retrying"
    FAILED = "failed"
    DISABLED = "disabled"


class DeliveryAttempt(BaseModel):
    """An attempt in the delivery log. Its ID is its position in the stream."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = ""
    created_at: int
    event_id: str
    event_type: str
    attempt: int
    outcome: str
    response_status: int | None = None
    error: str | None = None
    next_attempt_at: int | None = None


class TooMany(Exception):
    """The project already has the maximum number of endpoints."""


class DeliverySuperseded(Exception):
    """Another worker has already made this attempt."""


class Webhooks:
    """Webhook endpoints, deliveries and delivery logs of all projects."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.schedule = Schedule(redis)
        self.endpoints = Collection(redis, "webhooks", Endpoint)

    def deliveries(self, webhook_id: str) -> Collection[Delivery]:
        """Return the unfinished deliveries to an endpoint."""
        return Collection(self.redis, f"webhook-deliveries:{webhook_id}", Delivery)

    async def create(
        self, project_id: str, *, name: str, url: str, event_types: tuple[str, ...]
    ) -> Endpoint:
        """Create an endpoint with a new secret. Raises TooMany."""
        now_s = clock.now_s()
        endpoint = Endpoint(
            id=ids.new(ids.WEBHOOK),
            project_id=project_id,
            created_at=now_s,
            name=name,
            url=url,
            event_types=event_types,
            secret=new_secret(),
            updated_at=now_s,
        )
        index = self.endpoints.index(project_id)

        async def check_room(pipe: Pipeline) -> None:
            await pipe.watch(index)
            if await pipe.zcard(index) >= MAX_ENDPOINTS:
                raise TooMany

        return await self.endpoints.create(endpoint, check=check_room)

    async def get(self, project_id: str, webhook_id: str) -> Endpoint | None:
        """Return the project's endpoint with this ID, or None."""
        if not ids.is_valid(webhook_id, ids.WEBHOOK):
            return None
        return await self.endpoints.get(project_id, webhook_id)

    async def update(
        self,
        endpoint: Endpoint,
        *,
        name: str | None = None,
        url: str | None = None,
        event_types: tuple[str, ...] | None = None,
    ) -> Endpoint:
        """Change the given fields. Any `url` enables a disabled endpoint. Raises Missing."""
        given = {"name": name, "url": url, "event_types": event_types}
        fields: dict[str, object] = {k: v for k, v in given.items() if v is not None}
        if url is not None:
            fields["disabled_at"] = None
        return await self._change(endpoint, lambda _: fields)

    async def rotate_secret(self, endpoint: Endpoint, *, keep_old: bool) -> Endpoint:
        """Replace the secret. The new one signs all later requests. Raises Missing.

        With `keep_old`, the old secret signs too, for `OLD_SECRET_LIFETIME_S`.
        """
        secret, until = new_secret(), clock.now_s() + OLD_SECRET_LIFETIME_S

        def fields(current: Endpoint) -> dict[str, object]:
            if not keep_old:
                return {"secret": secret, "old_secret": None, "old_secret_until": None}
            return {"secret": secret, "old_secret": current.secret, "old_secret_until": until}

        return await self._change(endpoint, fields)

    async def _change(
        self, endpoint: Endpoint, fields: Callable[[Endpoint], dict[str, object]]
    ) -> Endpoint:
        now_s = clock.now_s()

        def change(current: Endpoint) -> Endpoint:
            changed = current.model_copy(update=fields(current))
            if changed == current:
                return current
            return changed.model_copy(update={"updated_at": now_s})

        return await self.endpoints.update(endpoint.project_id, endpoint.id, change)

    async def subscribed(self, project_id: str, event_types: Iterable[str]) -> list[Endpoint]:
        """Return the project's enabled endpoints that subscribe to one of these event types."""
        wanted = set(event_types)
        page = await self.endpoints.page(project_id, limit=MAX_ENDPOINTS)
        return [e for e in page.items if e.disabled_at is None and wanted & {*e.event_types}]

    async def disable(self, endpoint: Endpoint) -> None:
        """Disable an endpoint and drop its deliveries. Raises Missing.

        If the endpoint's URL has changed in the meantime, it remains enabled.
        """
        now_s = clock.now_s()

        def change(current: Endpoint) -> Endpoint:
            if current.url != endpoint.url:
                return current
            return current.model_copy(update={"disabled_at": now_s})

        changed = await self.endpoints.update(endpoint.project_id, endpoint.id, change)
        if changed.disabled_at is not None:
            await self.drop_deliveries(endpoint.address)

    async def delete(self, project_id: str, webhook_id: str) -> bool:
        """Delete an endpoint with its log. Returns False if the project has no such endpoint.

        If the process dies in between, a worker later drops the remaining deliveries.
        """
        if not ids.is_valid(webhook_id, ids.WEBHOOK):
            return False
        removed = await self.endpoints.delete(project_id, webhook_id)
        address = Address(project_id, webhook_id)
        await self.drop_deliveries(address)
        await self.redis.delete(_log(address))
        return removed

    async def drop_deliveries(self, address: Address) -> None:
        """Remove all unfinished deliveries of an endpoint."""
        await self.deliveries(address.webhook_id).clear(address.project_id)
        await self.schedule.remove(address)

    async def add(self, address: Address, delivery: Delivery) -> None:
        """Schedule a delivery as the endpoint's next, ahead of all others."""
        now_s = await self.schedule.now_s()

        def also(pipe: Pipeline) -> None:
            self.schedule.put_first(pipe, address, delivery.id, now_s)

        await self.deliveries(address.webhook_id).create(delivery, also)

    async def withdraw(self, address: Address, delivery: Delivery) -> None:
        """Remove a delivery. A request in progress may still arrive."""

        def also(pipe: Pipeline) -> None:
            pipe.zrem(address.due_key, delivery.id)

        deliveries = self.deliveries(address.webhook_id)
        await deliveries.delete(delivery.project_id, delivery.id, also)

    async def finish(self, address: Address, delivery: Delivery, attempt: DeliveryAttempt) -> None:
        """Log a delivery's last attempt and remove it. Raises Missing or DeliverySuperseded."""
        deliveries = self.deliveries(address.webhook_id)

        def also(pipe: Pipeline) -> None:
            pipe.delete(deliveries.key(delivery.project_id, delivery.id))
            pipe.zrem(deliveries.index(delivery.project_id), delivery.id)
            pipe.zrem(address.due_key, delivery.id)

        await self._advance(address, delivery, attempt, also)

    async def retry(
        self, address: Address, delivery: Delivery, attempt: DeliveryAttempt, due_s: float
    ) -> None:
        """Log a failed attempt and schedule the next. Raises Missing or DeliverySuperseded."""

        def also(pipe: Pipeline) -> None:
            pipe.zadd(address.due_key, {delivery.id: due_s})

        await self._advance(address, delivery, attempt, also)

    async def _advance(
        self,
        address: Address,
        delivery: Delivery,
        attempt: DeliveryAttempt,
        also: Callable[[Pipeline], None],
    ) -> None:
        """Record an attempt once. The attempt number fences off workers that were too slow."""

        def change(current: Delivery) -> Delivery:
            if current.attempt != delivery.attempt:
                raise DeliverySuperseded
            return current.model_copy(update={"attempt": current.attempt + 1})

        def together(pipe: Pipeline, _: Delivery) -> None:
            entry = attempt.model_dump_json(exclude={"id"})
            pipe.xadd(_log(address), {"attempt": entry}, maxlen=MAX_LOGGED, approximate=False)
            pipe.expire(_log(address), LOG_LIFETIME_S)
            also(pipe)

        await self.deliveries(address.webhook_id).update(
            delivery.project_id, delivery.id, change, also=together
        )

    async def log(
        self, address: Address, after: str | None, limit: int
    ) -> tuple[list[DeliveryAttempt], bool]:
        """Attempts older than `after`, newest first, and whether there are more.

        Raises Missing if `after` is not the id of an attempt.
        """
        end = "+"
        if after is not None:
            if not _LOG_ID.fullmatch(after):
                raise Missing(after)
            end = "(" + after.removeprefix(ids.WEBHOOK_DELIVERY)
        rows = await self.redis.xrevrange(_log(address), max=end, min="-", count=limit + 1)
        entries = ((ids.WEBHOOK_DELIVERY + text(i), row[b"attempt"]) for i, row in rows[:limit])
        attempts = [(i, {**json.loads(raw), "id": i}) for i, raw in entries]
        return parse_known(DeliveryAttempt, attempts), len(rows) > limit


def _log(address: Address) -> str:
    return f"{PREFIX}:{address.project_id}:webhook-log:{address.webhook_id}"
