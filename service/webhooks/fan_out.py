"""Deliveries of an event: one for each endpoint that subscribes to its type."""

from __future__ import annotations

from service.core.outbox import Command, Event
from service.webhooks.records import Delivery, Endpoint, Webhooks
from service.webhooks.schedule import DUE


class FanOut:
    """Reader of the outbox that creates the deliveries of an event."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def __call__(self, event: Event) -> list[Command]:
        """Return the commands that store the event's deliveries, due now."""
        endpoints = await self._webhooks.subscribed(event.project_id, event.type)
        if not endpoints:
            return []
        now_s = str(await self._webhooks.schedule.now_s())
        return [
            command for endpoint in endpoints for command in self._delivery(endpoint, event, now_s)
        ]

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
