"""Tests of deliveries from the end of a job to a real receiver, by a real worker."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from openai import OpenAI
from openai.types.webhooks import (
    FineTuningJobCancelledWebhookEvent,
    FineTuningJobFailedWebhookEvent,
    FineTuningJobSucceededWebhookEvent,
)

from service.core import clock, outbox
from service.core.outbox import Event
from service.jobs import lifecycle
from service.jobs.records import Status
from service.webhooks.deliverer import FanOut
from service.webhooks.records import MAX_LOGGED, Delivery, DeliveryAttempt
from service.webhooks.schedule import DUE
from tests.conftest import Api
from tests.killed_worker import killed_worker
from tests.metrics.samples import Since
from tests.webhooks.conftest import Maker, Receiver, create, logged, until

pytestmark = pytest.mark.slow


async def test_the_end_of_a_job_sends_one_event_that_the_sdk_verifies(
    http, work, maker: Maker, receiver: Receiver
):
    made = await create(http, f"{receiver.url}/hook")
    async with work("cpu"):
        jobs = [await maker.ended(s) for s in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)]
        log = await logged(http, made["id"], len(jobs))
    client = OpenAI(api_key="-", webhook_secret=made["signing_secret"])
    assert len(receiver.requests) == len(jobs)
    found = {}
    for request in receiver.requests:
        event = client.webhooks.unwrap(request.body, request.headers)
        assert isinstance(
            event,
            FineTuningJobSucceededWebhookEvent
            | FineTuningJobFailedWebhookEvent
            | FineTuningJobCancelledWebhookEvent,
        )
        assert request.headers["webhook-id"] == event.id
        assert b"secret of a row" not in request.body
        found[event.data.id] = event
    for job in jobs:
        event = found[job.id]
        assert (event.type, event.created_at) == (f"fine_tuning.job.{job.status}", job.finished_at)
    assert {entry["event_id"] for entry in log} == {event.id for event in found.values()}
    for entry in log:
        outcome = (entry["attempt"], entry["outcome"], entry["response_status"])
        assert outcome == (1, "delivered", 200)
        assert entry["next_attempt_at"] is entry["error"] is None


async def test_a_final_job_writes_no_second_event(api: Api, maker: Maker):
    job = await maker.ended(Status.SUCCEEDED)
    redis = api.app.state.redis
    assert await redis.zcard(outbox.OUTBOX) == 1
    await redis.delete(outbox.OUTBOX)
    await maker.jobs.change(job.project_id, job.id, lambda j: j)
    with pytest.raises(lifecycle.NotAllowed):
        await maker.jobs.change(
            job.project_id, job.id, lambda j: lifecycle.cancel(j, clock.now_s())
        )
    assert await redis.zcard(outbox.OUTBOX) == 0


async def test_only_subscribed_events_are_sent(http, work, maker: Maker, receiver: Receiver):
    failed = await create(http, f"{receiver.url}/failed", event_types=["fine_tuning.job.failed"])
    every = await create(http, f"{receiver.url}/every")
    async with work("cpu"):
        await maker.ended(Status.SUCCEEDED)
        await maker.ended(Status.FAILED)
        await logged(http, every["id"], 2)
        await logged(http, failed["id"], 1)
    assert sorted(r.path for r in receiver.requests) == ["/every", "/every", "/failed"]


async def test_a_failed_delivery_is_retried_with_the_same_id(
    http, work, maker: Maker, receiver: Receiver
):
    receiver.statuses = [500, 302, 200]
    made, since = await create(http, f"{receiver.url}/hook"), Since()
    async with work("cpu"):
        await maker.ended(Status.SUCCEEDED)
        log = await logged(http, made["id"], 3)
    assert [(x["attempt"], x["outcome"], x["response_status"]) for x in log] == [
        (3, "delivered", 200),
        (2, "retrying", 302),
        (1, "retrying", 500),
    ]
    assert log[2]["next_attempt_at"] >= log[2]["created_at"]
    assert {r.path for r in receiver.requests} == {"/hook"}, "a redirect was followed"
    assert len({r.headers["webhook-id"] for r in receiver.requests}) == 1
    assert since.grown("webhook_deliveries_total", outcome="delivered") == 1
    assert since.grown("webhook_deliveries_total", outcome="retrying") == 2


async def test_the_last_attempt_ends_a_delivery(
    http, api: Api, work, maker: Maker, receiver: Receiver, settings
):
    settings.webhook_max_attempts = 2
    receiver.statuses = [503]
    made = await create(http, receiver.url)
    async with work("cpu"):
        await maker.ended(Status.SUCCEEDED)
        log = await logged(http, made["id"], 2)
        await until_idle(api)
    assert (log[0]["outcome"], log[0]["next_attempt_at"]) == ("failed", None)
    assert len(receiver.requests) == 2
    deliveries = api.app.state.webhooks.deliveries(made["id"])
    assert (await deliveries.page(maker.project_id)).items == []


async def test_a_refused_connection_is_logged_by_its_error_class(
    http, work, maker: Maker, receiver: Receiver, settings, caplog
):
    caplog.set_level(logging.INFO)
    nobody = "127.0.0.1:9"
    settings.webhook_allowed_hosts = (nobody,)
    settings.webhook_max_attempts = 1
    made = await create(http, f"http://{nobody}/?token=hidden")
    async with work("cpu"):
        await maker.ended(Status.SUCCEEDED)
        (entry,) = await logged(http, made["id"], 1)
    assert (entry["error"], entry["response_status"]) == ("ClientConnectorError", None)
    for hidden in ("token=hidden", made["signing_secret"], "secret of a row"):
        assert hidden not in caplog.text


async def test_410_disables_the_endpoint(http, api: Api, work, maker: Maker, receiver: Receiver):
    receiver.statuses = [410]
    made = await create(http, receiver.url)
    async with work("cpu"):
        await maker.ended(Status.SUCCEEDED)
        (entry,) = await logged(http, made["id"], 1)
        await until_idle(api)
        await maker.ended(Status.SUCCEEDED)
        await until_idle(api)
    assert entry["outcome"] == "disabled"
    assert (await http.get(f"/v1/webhook_endpoints/{made['id']}")).json()["status"] == "disabled"
    assert len(receiver.requests) == 1


async def test_a_slow_endpoint_delays_no_other(http, work, maker: Maker, receiver: Receiver):
    receiver.held = asyncio.Event()
    await create(http, f"{receiver.url}/slow")
    quick = await create(http, f"{receiver.url}/quick")
    async with work("cpu"):
        for _ in range(3):
            await maker.ended(Status.SUCCEEDED)
        await logged(http, quick["id"], 3)
        await until(lambda: any(r.path == "/slow" for r in receiver.requests))
        assert sum(r.path == "/slow" for r in receiver.requests) == 1
        receiver.held.set()


async def test_another_worker_repeats_the_delivery_of_a_killed_one(
    http, work, maker: Maker, receiver: Receiver, settings
):
    receiver.held = asyncio.Event()
    made = await create(http, f"{receiver.url}/slow")
    await maker.ended(Status.SUCCEEDED)
    async with killed_worker(settings, webhook_allowed_hosts=receiver.host, lease_s="1"):
        await until(lambda: receiver.requests)
    receiver.held.set()
    async with work("cpu"):
        (entry,) = await logged(http, made["id"], 1)
    assert entry["outcome"] == "delivered"
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == entry["event_id"]


async def test_the_log_is_bounded_and_pages(http, api: Api, maker: Maker, receiver: Receiver):
    made = await create(http, receiver.url)
    webhooks = api.app.state.webhooks
    endpoint = await webhooks.get(maker.project_id, made["id"])
    event = Event(
        id="evt_a", project_id=maker.project_id, created_at=1, type="t", subject_id="ftjob-a"
    )
    delivery = await webhooks.deliveries(endpoint.id).create(
        Delivery(id=event.id, project_id=maker.project_id, created_at=1, event=event)
    )
    for number in range(1, MAX_LOGGED + 6):
        attempt = DeliveryAttempt(
            created_at=1, event_id=event.id, event_type="t", attempt=number, outcome="retrying"
        )
        await webhooks.retry(endpoint.address, delivery, attempt, 1e12)
        delivery = delivery.model_copy(update={"attempt": number + 1})
    path = f"/v1/webhook_endpoints/{made['id']}/deliveries"
    seen: list[int] = []
    after: dict[str, str] = {}
    while True:
        page = (await http.get(path, params={"limit": 40, **after})).json()
        seen += [entry["attempt"] for entry in page["data"]]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert seen == list(range(MAX_LOGGED + 5, 5, -1))
    assert (
        await api.app.state.redis.ttl(f"finetuned:{maker.project_id}:webhook-log:{made['id']}") > 0
    )


async def test_a_deleted_endpoint_receives_nothing_more(
    http, api: Api, work, maker: Maker, receiver: Receiver, settings
):
    settings.webhook_retry_base_s = 3600
    receiver.statuses = [500]
    made = await create(http, receiver.url)
    async with work("cpu"):
        await maker.ended(Status.SUCCEEDED)
        await logged(http, made["id"], 1)
        assert (await http.delete(f"/v1/webhook_endpoints/{made['id']}")).status_code == 200
        await until_idle(api)
    left = await api.app.state.redis.keys(f"*{made['id']}*")
    assert [key for key in left if b"lease" not in key] == []


async def until_idle(api: Api) -> None:
    """Wait until no event and no delivery is left."""
    redis = api.app.state.redis
    async with asyncio.timeout(60):
        while await redis.exists(outbox.OUTBOX, DUE):
            await asyncio.sleep(0.05)


async def test_an_event_has_the_name_that_the_endpoint_subscribed_to(api: Api):
    """Names of the last version are sent to endpoints that were created with them."""
    webhooks, project = api.app.state.webhooks, "proj_a"
    old, new = "export.succeeded", "model.export.completed"
    subscribed = {"old": (old,), "new": (new,), "both": (old, new), "other": ("export.failed",)}
    for name, types in subscribed.items():
        await webhooks.create(project, name=name, url="https://hooks.example", event_types=types)
    event = Event(id="evt_1", project_id=project, created_at=1, type=old, subject_id="export-a")
    found = {}
    for endpoint in (await webhooks.endpoints.page(project, limit=10)).items:
        for command in await FanOut(webhooks)(event):
            if command[0] == "SET" and endpoint.id in command[1]:
                found[endpoint.name] = json.loads(command[2])["event"]["type"]
    assert found == {"old": old, "new": new, "both": new}
