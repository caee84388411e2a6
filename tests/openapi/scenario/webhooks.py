"""Scenario of webhook endpoints, and of the delivery of a canceled job's event."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Receive, Scope, Send

from service.core.outbox import OUTBOX
from service.core.redis import Client
from tests.openapi.scenario.data import NO_WEBHOOK
from tests.openapi.world import World

_SHOWN = "https://hooks.example.com"


async def receive(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 200 like a receiver, and 410 at /gone."""
    if scope["type"] == "lifespan":
        for state in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{state}.complete"})
        return
    status = 410 if scope["path"] == "/gone" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def no_event_waits(redis: Client) -> None:
    """Wait until the outbox is empty: an endpoint created later would receive its events."""
    async with asyncio.timeout(60):
        while await redis.exists(OUTBOX):
            await asyncio.sleep(0.05)


async def create(world: World, receiver: str) -> str:
    """Create endpoints up to the limit, and list them."""
    world.stable.show(receiver, _SHOWN)
    url = f"{receiver}/finetuned"
    types = await world.call("listWebhookEventTypes", "types")
    made = await world.call(
        "createWebhookEndpoint",
        "every_event",
        "All events",
        json={"name": "Deploy models", "url": url, "event_types": types.json()["data"]},
    )
    failures = {"name": "Failures", "url": url, "event_types": ["fine_tuning.job.failed"]}
    other = await world.call("createWebhookEndpoint", "failures", "Failed jobs only", json=failures)
    await world.call("listWebhookEndpoints", "two", query={"limit": 20})
    await world.call("listWebhookEndpoints", expect=400, query={"after": NO_WEBHOOK})
    await _refused(world, failures)
    path = {"webhook_endpoint_id": other.json()["id"]}
    await world.call("deleteWebhookEndpoint", "deleted", path=path)
    return made.json()["id"]


async def _refused(world: World, body: dict[str, Any]) -> None:
    await world.call("createWebhookEndpoint", expect=400, json={})
    for url in ("https://elsewhere.example/a", "ftp://hooks.example.com/a"):
        await world.call("createWebhookEndpoint", expect=400, json={**body, "url": url})
    more = [await world.call("createWebhookEndpoint", json=body) for _ in range(8)]
    await world.call("createWebhookEndpoint", expect=409, json=body)
    for made in more:
        path = {"webhook_endpoint_id": made.json()["id"]}
        await world.call("deleteWebhookEndpoint", path=path)


async def look(world: World, endpoint_id: str, job_id: str, receiver: str) -> None:
    """Retrieve an endpoint, cancel a job, list the delivery, and update the endpoint."""
    path = {"webhook_endpoint_id": endpoint_id}
    await world.call("getWebhookEndpoint", "enabled", path=path)
    await world.call("cancelFineTuningJob", path={"job_id": job_id})
    async with asyncio.timeout(60):
        while not (await world.call("listWebhookEndpointDeliveries", path=path)).json()["data"]:
            await asyncio.sleep(0.05)
    await world.call(
        "listWebhookEndpointDeliveries",
        "delivered",
        "Delivered event",
        path=path,
        query={"limit": 20},
    )
    await world.call("listWebhookEndpointDeliveries", expect=400, path=path, query={"after": "x"})
    await _test(world, path, receiver)
    await world.call("rotateWebhookEndpointSecret", "rotated", path=path, json={})
    keep = {"keep_old_secret_active_for_24_hours": "one day"}
    await world.call("rotateWebhookEndpointSecret", expect=400, path=path, json=keep)
    unknown, sample = {"webhook_endpoint_id": NO_WEBHOOK}, "fine_tuning.job.succeeded"
    bodies = {
        "getWebhookEndpoint": None,
        "updateWebhookEndpoint": {"name": "Deploy"},
        "deleteWebhookEndpoint": None,
        "rotateWebhookEndpointSecret": {},
        "testWebhookEndpoint": {"event_type": sample},
        "listWebhookEndpointDeliveries": None,
    }
    for operation, body in bodies.items():
        await world.call(operation, expect=404, path=unknown, json=body)


async def _test(world: World, path: dict[str, str], receiver: str) -> None:
    """Test the endpoint until it disables itself, then enable it."""
    sample = {"event_type": "fine_tuning.job.succeeded"}
    await world.call("testWebhookEndpoint", "succeeded", path=path, json=sample)
    await world.call("testWebhookEndpoint", expect=400, path=path, json={})
    await world.call(
        "updateWebhookEndpoint", "url", "New URL", path=path, json={"url": f"{receiver}/gone"}
    )
    elsewhere = {"url": "https://elsewhere.example/a"}
    await world.call("updateWebhookEndpoint", expect=400, path=path, json=elsewhere)
    gone = await world.call("testWebhookEndpoint", path=path, json=sample)
    assert gone.json()["status_code"] == 410
    async with asyncio.timeout(60):
        while (await world.call("getWebhookEndpoint", path=path)).json()["status"] == "enabled":
            await asyncio.sleep(0.05)
    await world.call("testWebhookEndpoint", expect=409, path=path, json=sample)
    await world.call(
        "updateWebhookEndpoint",
        "name",
        "New name, and the endpoint enabled again",
        path=path,
        json={"name": "Deploy", "url": f"{receiver}/finetuned"},
    )
