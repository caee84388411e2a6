"""The loop of a cpu worker that delivers webhook events.

Each round turns new events into deliveries and starts a task for each endpoint with a due one.
A task holds the endpoint's lease while it sends, so that one worker at a time serves an
endpoint and a slow endpoint delays no other. The delivery of a worker that dies stays due, and
another worker repeats it when the lease has run out: an event arrives at least once, under
the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from service.config import Settings
from service.core import ids, metrics
from service.core.leases import Held, Leases
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS, Client, why
from service.webhooks import outbox
from service.webhooks.allowed_hosts import AllowedHosts
from service.webhooks.backoff import Backoff
from service.webhooks.records import (
    Attempt,
    Delivery,
    DeliverySuperseded,
    Endpoint,
    Outcome,
    Webhooks,
)
from service.webhooks.schedule import Address
from service.webhooks.sender import Result, Sender

log = logging.getLogger(__name__)
_POLL_S = 1.0
_MOST_AT_ONCE = 64  # requests of one worker; each is one small POST
_AFTER_FAULT_S = 60.0
_FIRST_ATTEMPT = 1  # of a lease: an endpoint has no attempts of its own


class Deliverer:
    """Delivers the events of all projects."""

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
        self._ready = asyncio.Event()  # a task has ended: its endpoint may have more
        self._draining = False

    async def run(self) -> None:
        """Deliver until cancelled; an outage of Redis skips a round."""
        async with self._sender:
            try:
                while True:
                    await self._survived_round()
                    await self._pause()
            finally:
                for task in self._running.values():
                    task.cancel()
                await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def drain(self) -> None:
        """Start no more deliveries, and wait for those that run."""
        self._draining = True
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=self._timeout_s)

    async def _survived_round(self) -> None:
        self._on_round()
        try:
            await self._round()
        except REDIS_ERRORS as e:
            log.warning("Redis is away, no webhooks delivered: %s", why(e))

    async def _round(self) -> None:
        self._ready.clear()
        if self._draining:
            return
        now_s = await self._schedule.now_s()
        while await outbox.fan_out(self._webhooks, now_s):
            self._on_round()
        async for address in self._schedule.due_endpoints(now_s):
            if len(self._running) >= _MOST_AT_ONCE:
                break
            if address not in self._running:
                self._start(address)
        if time.monotonic() - self._counted_at >= self._count_every_s:
            self._counted_at = time.monotonic()
            metrics.WEBHOOK_PENDING.cell().value = await self._schedule.pending()

    async def _pause(self) -> None:
        """Wait for the next round, which begins at once where a task has ended."""
        # Not asyncio.wait_for, which before Python 3.12 can swallow a cancellation.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_s):
                await self._ready.wait()

    def _start(self, address: Address) -> None:
        task = asyncio.create_task(self._serve(address), name=f"webhook {address.webhook_id}")
        self._running[address] = task
        task.add_done_callback(lambda _: self._running.pop(address))

    async def _serve(self, address: Address) -> None:
        """Deliver one event of an endpoint. A fault delays the endpoint and ends no loop."""
        try:
            async with self._leases.hold(address.webhook_id, _FIRST_ATTEMPT):
                await self._deliver(address)
                await self._schedule.settle(address, await self._schedule.now_s())
            self._ready.set()
        except Held:
            pass  # another worker serves it
        except REDIS_ERRORS as e:
            log.warning("Redis is away, a webhook waits: %s", why(e))
        except Exception:
            log.exception("the webhook %s is delayed by a fault", address.webhook_id)
            with contextlib.suppress(*REDIS_ERRORS):
                later_s = await self._schedule.now_s() + _AFTER_FAULT_S
                await self._schedule.settle(address, later_s)

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
        with contextlib.suppress(Missing, DeliverySuperseded):  # deleted or taken over
            await self._record(endpoint, delivery, result)

    async def _record(self, endpoint: Endpoint, delivery: Delivery, result: Result) -> None:
        once = result.delivered or delivery.test
        delay_s = None if once else self._backoff.delay_s(delivery.attempt)
        outcome = _outcome(result, delay_s)
        due_s = None
        if outcome is Outcome.RETRYING and delay_s is not None:
            due_s = await self._schedule.now_s() + delay_s
        attempt = Attempt(
            created_at=ids.now_s(),
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
        metrics.WEBHOOK_DELIVERIES.labels(outcome).inc()
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


def _outcome(result: Result, delay_s: float | None) -> Outcome:
    if result.delivered:
        return Outcome.DELIVERED
    if result.gone:
        return Outcome.DISABLED
    return Outcome.FAILED if delay_s is None else Outcome.RETRYING
