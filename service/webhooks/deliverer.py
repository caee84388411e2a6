"""Creates the deliveries of webhook events, and delivers them in a loop of each cpu worker.

Each round starts a task for every endpoint with a due delivery. The task holds the endpoint's lease
while it sends, so only one worker at a time sends to an endpoint, and a slow endpoint does not
delay the others. If a worker dies, its delivery stays due, and another worker repeats it after the
lease has expired. An event therefore arrives at least once, always with the same ID.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.config import Settings
from service.core import clock, metrics
from service.core.leases import Held, Leases
from service.core.outbox import Command, Event
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS, Client, why
from service.webhooks.records import (
    Delivery,
    DeliveryAttempt,
    DeliverySuperseded,
    Endpoint,
    Outcome,
    Webhooks,
)
from service.webhooks.schedule import DUE, Address
from service.webhooks.schemas import RENAMED
from service.webhooks.sender import AllowedHosts, Sender, SendResult

_FACTOR = 8
_MAX_DELAY_S = 6 * 3600
_JITTER = 0.2  # spreads the retries of deliveries that failed at the same time
log = logging.getLogger(__name__)
_POLL_S = 1.0
_MAX_CONCURRENT = 64  # requests of a worker, each a small POST
_FAULT_DELAY_S = 60.0
_LEASE_ATTEMPT = 1  # leases need an attempt number, which endpoints do not have


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff. With the default settings, 8 attempts take about 18 hours."""

    base_s: float
    max_attempts: int

    def delay_s(self, attempt: int) -> float | None:
        """Return the seconds from a failed attempt to the next, or None after the last."""
        if attempt >= self.max_attempts:
            return None
        delay_s: float = min(self.base_s * _FACTOR ** (attempt - 1), _MAX_DELAY_S)
        return delay_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret


class Deliverer:
    """Delivers the webhook events of all projects."""

    def __init__(
        self,
        redis: Client,
        leases: Leases,
        settings: Settings,
        *,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._webhooks = Webhooks(redis)
        self._schedule = self._webhooks.schedule
        self._leases = leases
        self._timeout_s = settings.webhook_timeout_s
        self._sender = Sender(AllowedHosts(settings.webhook_allowed_hosts), self._timeout_s)
        self._backoff = Backoff(settings.webhook_retry_base_s, settings.webhook_max_attempts)
        self._poll_s = min(_POLL_S, settings.reconcile_every_s)
        self._count_every_s = settings.reconcile_every_s
        self._counted_at = 0.0
        self._on_round = on_round
        self._running: dict[Address, asyncio.Task[None]] = {}
        self._ready = asyncio.Event()  # an endpoint may have due events
        self._draining = False

    def wake(self) -> None:
        """Start the next round now."""
        self._ready.set()

    async def run(self) -> None:
        """Deliver events until canceled. Rounds are skipped while Redis is unavailable."""
        async with self._sender:
            try:
                while True:
                    await self._guarded_round()
                    await self._pause()
            finally:
                for task in self._running.values():
                    task.cancel()
                await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def drain(self) -> None:
        """Stop starting deliveries, and wait for those in progress."""
        self._draining = True
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=self._timeout_s)

    async def _guarded_round(self) -> None:
        self._on_round()
        try:
            await self._round()
        except REDIS_ERRORS as e:
            log.warning("Redis is unavailable, webhook deliveries are delayed: %s", why(e))

    async def _round(self) -> None:
        self._ready.clear()
        if self._draining:
            return
        now_s = await self._schedule.now_s()
        async for address in self._schedule.due_endpoints(now_s):
            if len(self._running) >= _MAX_CONCURRENT:
                break
            if address not in self._running:
                self._start(address)
        if time.monotonic() - self._counted_at >= self._count_every_s:
            self._counted_at = time.monotonic()
            metrics.WEBHOOK_PENDING.cell().set(await self._schedule.pending())

    async def _pause(self) -> None:
        """Wait for the next round. It starts immediately if there may be due events."""
        # Not asyncio.wait_for, which before Python 3.12 can swallow a cancellation.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_s):
                await self._ready.wait()

    def _start(self, address: Address) -> None:
        task = asyncio.create_task(self._serve(address), name=f"webhook {address.webhook_id}")
        self._running[address] = task
        task.add_done_callback(lambda _: self._running.pop(address))

    async def _serve(self, address: Address) -> None:
        """Deliver one event to an endpoint. An unexpected error delays only this endpoint."""
        try:
            async with self._leases.hold(address.webhook_id, _LEASE_ATTEMPT):
                await self._deliver(address)
                await self._schedule.reschedule(address, await self._schedule.now_s())
            self._ready.set()
        except Held:
            pass  # another worker is sending to this endpoint
        except REDIS_ERRORS as e:
            log.warning(
                "Redis is unavailable, webhook %s is delayed: %s", address.webhook_id, why(e)
            )
        except Exception:
            log.exception("webhook %s is delayed by an internal error", address.webhook_id)
            with contextlib.suppress(*REDIS_ERRORS):
                earliest_s = await self._schedule.now_s() + _FAULT_DELAY_S
                await self._schedule.reschedule(address, earliest_s)

    async def _deliver(self, address: Address) -> None:
        endpoint = await self._webhooks.get(*address)
        if endpoint is None or endpoint.disabled_at is not None:
            await self._webhooks.drop_deliveries(address)
            return
        event_id = await self._schedule.due_event(address, await self._schedule.now_s())
        if event_id is None:
            return
        delivery = await self._webhooks.deliveries(endpoint.id).get(endpoint.project_id, event_id)
        if delivery is None:
            await self._schedule.remove_event(address, event_id)
            return
        result = await self._sender.send(endpoint, delivery.event)
        # The endpoint may have been deleted, or another worker may have made this attempt.
        with contextlib.suppress(Missing, DeliverySuperseded):
            await self._record(endpoint, delivery, result)

    async def _record(self, endpoint: Endpoint, delivery: Delivery, result: SendResult) -> None:
        is_last = result.delivered or delivery.test
        delay_s = None if is_last else self._backoff.delay_s(delivery.attempt)
        outcome = _outcome(result, delay_s)
        due_s = None
        if outcome is Outcome.RETRYING and delay_s is not None:
            due_s = await self._schedule.now_s() + delay_s
        attempt = DeliveryAttempt(
            created_at=clock.now_s(),
            event_id=delivery.id,
            event_type=delivery.event.type,
            attempt=delivery.attempt,
            outcome=outcome,
            response_status=result.status,
            error=result.error,
            next_attempt_at=None if due_s is None else round(due_s),
        )
        if due_s is None:
            await self._webhooks.finish(endpoint.address, delivery, attempt)
        else:
            await self._webhooks.retry(endpoint.address, delivery, attempt, due_s)
        metrics.WEBHOOK_DELIVERIES.cell(outcome).inc()
        log.info(
            "webhook %s, event %s, attempt %d: %s (%s)",
            endpoint.id,
            delivery.id,
            delivery.attempt,
            outcome,
            result.status or result.error,
        )
        if outcome is Outcome.DISABLED:
            await self._webhooks.disable(endpoint)


def _outcome(result: SendResult, delay_s: float | None) -> Outcome:
    if result.delivered:
        return Outcome.DELIVERED
    if result.gone:
        return Outcome.DISABLED
    return Outcome.FAILED if delay_s is None else Outcome.RETRYING


class FanOut:
    """Reader of the outbox that creates the deliveries of events."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def __call__(self, event: Event) -> list[Command]:
        """Return the commands that store the event's deliveries, due now."""
        # An endpoint that subscribes to both names receives the new one.
        wanted = [RENAMED[event.type], event.type] if event.type in RENAMED else [event.type]
        endpoints = await self._webhooks.subscribed(event.project_id, wanted)
        if not endpoints:
            return []
        now_s = str(await self._webhooks.schedule.now_s())
        commands: list[Command] = []
        for endpoint in endpoints:
            name = next(name for name in wanted if name in endpoint.event_types)
            named = event.model_copy(update={"type": name})
            commands += self._delivery(endpoint, named, now_s)
        return commands

    def _delivery(self, endpoint: Endpoint, event: Event, now_s: str) -> list[Command]:
        project_id, address = endpoint.project_id, endpoint.address
        deliveries = self._webhooks.deliveries(endpoint.id)
        record = Delivery(
            id=event.id, project_id=project_id, created_at=event.created_at, event=event
        )
        return [
            ["SET", deliveries.key(project_id, event.id), record.model_dump_json()],
            ["ZADD", deliveries.index(project_id), now_s, event.id],
            ["ZADD", address.due_key, now_s, event.id],
            ["ZADD", DUE, "LT", now_s, address.member],
        ]
