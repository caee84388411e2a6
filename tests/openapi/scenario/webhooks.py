"""Webhooks, and the delivery of a cancelled job's event."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send

from service.core.redis import Client
from service.webhooks.outbox import OUTBOX
from tests.openapi.scenario.data import NO_WEBHOOK
from tests.openapi.world import World

_SHOWN = "https://hooks.example.com"


async def receive(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 200, as a receiver does."""
    if scope["type"] == "lifespan":
        for state in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{state}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def no_event_waits(redis: Client) -> None:
    """Wait until the outbox is empty: a webhook created later would receive what is in it."""
    async with asyncio.timeout(60):
        while await redis.exists(OUTBOX):
            await asyncio.sleep(0.05)


async def create(world: World, receiver: str) -> str:
    """Create one, up to the limit, and list."""
    world.stable.show(receiver, _SHOWN)
    body = {"url": f"{receiver}/finetuned"}
    made = await world.call(
        "createWebhook",
        "every_event",
        "All events of the project's jobs",
        expect=201,
        json={**body, "description": "Deploy new models"},
    )
    failures = {**body, "events": ["fine_tuning.job.failed"]}
    other = await world.call(
        "createWebhook", "failures", "Failed jobs only", expect=201, json=failures
    )
    await world.call("listWebhooks", "two", query={"limit": 20})
    await world.call("listWebhooks", expect=400, query={"after": NO_WEBHOOK})
    await _refused(world, failures)
    await world.call("deleteWebhook", "deleted", path={"webhook_id": other.json()["id"]})
    return made.json()["id"]


async def _refused(world: World, body: dict[str, object]) -> None:
    await world.call("createWebhook", expect=400, json={})
    await world.call("createWebhook", expect=400, json={"url": "https://elsewhere.example/a"})
    await world.call("createWebhook", expect=400, json={"url": "ftp://hooks.example.com/a"})
    more = [await world.call("createWebhook", expect=201, json=body) for _ in range(8)]
    await world.call("createWebhook", expect=409, json=body)
    for made in more:
        await world.call("deleteWebhook", path={"webhook_id": made.json()["id"]})


async def look(world: World, webhook_id: str, job_id: str) -> None:
    """Retrieve one, cancel a job, and list the delivery of its event."""
    path = {"webhook_id": webhook_id}
    await world.call("retrieveWebhook", "enabled", path=path)
    await world.call("cancelFineTuningJob", path={"job_id": job_id})
    async with asyncio.timeout(60):
        while not (await world.call("listWebhookDeliveries", path=path)).json()["data"]:
            await asyncio.sleep(0.05)
    await world.call(
        "listWebhookDeliveries",
        "delivered",
        "An event that arrived",
        path=path,
        query={"limit": 20},
    )
    await world.call("listWebhookDeliveries", expect=400, path=path, query={"after": "x"})
    for operation in ("retrieveWebhook", "deleteWebhook", "listWebhookDeliveries"):
        await world.call(operation, expect=404, path={"webhook_id": NO_WEBHOOK})
