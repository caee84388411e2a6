"""Tests of webhook endpoints: all operations of `client.webhooks` in the SDK, and refusals."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest

from service.core import clock
from service.jobs.records import Status
from service.webhooks.records import OLD_SECRET_LIFETIME_S, Webhooks
from service.webhooks.routes import sample_subject
from tests.conftest import Api
from tests.webhooks.conftest import EVENT_TYPES, Maker, Receiver, create, logged, until

pytestmark = pytest.mark.slow

FAILED, SUCCEEDED = "fine_tuning.job.failed", "fine_tuning.job.succeeded"


@pytest.fixture
async def sdk(api: Api):
    """OpenAI's own client, unmodified."""
    async with openai.AsyncOpenAI(
        base_url=f"{api.base_url}/v1", api_key=await api.key(), max_retries=0
    ) as client:
        yield client


@pytest.fixture
async def endpoint(sdk, receiver: Receiver):
    """An endpoint that subscribes to successful jobs."""
    return await sdk.webhooks.create(
        name="Deploy", url=f"{receiver.url}/hook", event_types=[SUCCEEDED]
    )


async def test_an_endpoint_is_created_retrieved_updated_and_deleted(
    sdk, endpoint, receiver: Receiver
):
    assert endpoint.object == "webhook_endpoint"
    assert endpoint.id.startswith("webhook_")
    assert endpoint.signing_secret.startswith("whsec_")
    assert endpoint.signing_secret_hint == "whsec_…" + endpoint.signing_secret[-5:-1]
    assert endpoint.updated_at == endpoint.created_at
    shown = await sdk.webhooks.retrieve(endpoint.id)
    assert shown.to_dict() == {
        key: value for key, value in endpoint.to_dict().items() if key != "signing_secret"
    }
    [listed] = (await sdk.webhooks.list()).data
    assert listed == shown  # the secret is shown once
    changed = await sdk.webhooks.update(
        endpoint.id, name="Alarm", url=f"{receiver.url}/alarm", event_types=[FAILED, FAILED]
    )
    assert (changed.name, changed.url) == ("Alarm", f"{receiver.url}/alarm")
    assert changed.event_types == [FAILED]
    assert changed.signing_secret_hint == endpoint.signing_secret_hint
    assert await sdk.webhooks.retrieve(endpoint.id) == changed
    gone = await sdk.webhooks.delete(endpoint.id)
    assert (gone.id, gone.deleted, gone.object) == (endpoint.id, True, "webhook_endpoint.deleted")
    with pytest.raises(openai.NotFoundError):
        await sdk.webhooks.retrieve(endpoint.id)


async def test_only_a_change_advances_updated_at(api: Api, sdk, endpoint):
    webhooks = api.app.state.webhooks
    project = await api.app.state.projects.by_name("acme")
    await webhooks.endpoints.update(
        project.id, endpoint.id, lambda e: e.model_copy(update={"updated_at": 7})
    )
    for fields in ({}, {"name": "Deploy"}, {"url": endpoint.url}):
        assert (await sdk.webhooks.update(endpoint.id, **fields)).updated_at == 7
    assert (await sdk.webhooks.update(endpoint.id, name="Alarm")).updated_at > 7


async def test_event_types_are_those_that_endpoints_accept(sdk, receiver: Receiver):
    listed = await sdk.webhooks.event_types.list()
    assert (listed.object, listed.data) == ("list", EVENT_TYPES)
    made = await sdk.webhooks.create(name="All", url=receiver.url, event_types=listed.data)
    assert made.event_types == EVENT_TYPES
    with pytest.raises(openai.BadRequestError):
        await sdk.webhooks.create(
            name="b", url=receiver.url, event_types=["realtime.call.incoming"]
        )


async def test_a_new_url_is_checked(sdk, endpoint):
    with pytest.raises(openai.BadRequestError) as refused:
        await sdk.webhooks.update(endpoint.id, url="https://elsewhere.example/a")
    assert (refused.value.code, refused.value.param) == ("host_not_allowed", "url")
    assert (await sdk.webhooks.retrieve(endpoint.id)).url == endpoint.url


async def test_a_new_secret_signs_immediately_and_an_old_one_can_stay_for_a_day(
    api: Api, sdk, endpoint, work, maker: Maker, receiver: Receiver
):
    rotated = await sdk.webhooks.rotate_secret(
        endpoint.id, keep_old_secret_active_for_24_hours=True
    )
    assert (rotated.id, rotated.signing_secret != endpoint.signing_secret) == (endpoint.id, True)
    records = Webhooks(api.app.state.redis)
    record = await records.get(maker.project_id, endpoint.id)
    assert record is not None
    now_s = clock.now_s()
    assert record.secrets(now_s) == [rotated.signing_secret, endpoint.signing_secret]
    assert record.secrets(now_s + OLD_SECRET_LIFETIME_S + 1) == [rotated.signing_secret]
    async with work("cpu"):
        job = await maker.ended(Status.SUCCEEDED)
        await until(lambda: receiver.requests)
        last = await sdk.webhooks.rotate_secret(endpoint.id)
        await maker.ended(Status.SUCCEEDED)
        await until(lambda: len(receiver.requests) == 2)
    both, new = receiver.requests
    for secret in (rotated.signing_secret, endpoint.signing_secret):
        event = sdk.webhooks.unwrap(both.body, both.headers, secret=secret)
        assert event.data.id == job.id
        with pytest.raises(openai.InvalidWebhookSignatureError):
            sdk.webhooks.unwrap(new.body, new.headers, secret=secret)
    sdk.webhooks.unwrap(new.body, new.headers, secret=last.signing_secret)


@pytest.mark.parametrize(
    ("status", "event_type", "subject_id"),
    [(204, FAILED, "ftjob-" + "0" * 24), (500, "eval.run.succeeded", "evalrun_" + "0" * 24)],
)
async def test_a_test_sends_a_signed_sample_once(
    http, sdk, endpoint, work, receiver: Receiver, status, event_type, subject_id
):
    receiver.statuses = [status]
    async with work("cpu"):
        result = await sdk.webhooks.test(endpoint.id, event_type=event_type)
    assert result.to_dict() == {
        "object": "webhook_endpoint.test",
        "webhook_endpoint_id": endpoint.id,
        "event_type": event_type,
        "status_code": status,
        "success": True,
    }
    (request,) = receiver.requests
    event = sdk.webhooks.unwrap(request.body, request.headers, secret=endpoint.signing_secret)
    assert (event.type, event.data.id) == (event_type, subject_id)
    (entry,) = await logged(http, endpoint.id, 1)
    assert entry["event_id"] == event.id
    assert entry["outcome"] == ("delivered" if status == 204 else "failed")


async def test_a_test_overtakes_events_that_wait(
    sdk, endpoint, work, maker: Maker, receiver: Receiver
):
    for _ in range(3):
        await maker.ended(Status.SUCCEEDED)
    test = asyncio.create_task(sdk.webhooks.test(endpoint.id, event_type=SUCCEEDED))
    await asyncio.sleep(0.5)
    async with work("cpu"):
        await test
        await until(lambda: len(receiver.requests) == 4)
    sent = [json.loads(request.body)["data"]["id"] for request in receiver.requests]
    assert sent[0] == sample_subject(SUCCEEDED)


async def test_a_host_that_is_no_longer_allowed_is_not_called(
    sdk, endpoint, work, receiver: Receiver, settings
):
    settings.webhook_allowed_hosts = ("hooks.example",)
    async with work("cpu"):
        with pytest.raises(openai.BadRequestError, match="HostNotAllowed") as failed:
            await sdk.webhooks.test(endpoint.id, event_type=SUCCEEDED)
    assert failed.value.code == "webhook_test_failed"
    assert receiver.requests == []


async def test_a_test_that_no_worker_sends_is_withdrawn(
    api: Api, sdk, endpoint, monkeypatch, receiver: Receiver, work, maker: Maker
):
    monkeypatch.setattr("service.webhooks.routes._TEST_GRACE_S", 0.2)
    api.app.state.settings = api.settings.model_copy(update={"webhook_timeout_s": 0.1})
    with pytest.raises(openai.APIStatusError) as late:
        await sdk.webhooks.test(endpoint.id, event_type=SUCCEEDED)
    assert late.value.status_code == 503
    async with work("cpu"):
        job = await maker.ended(Status.SUCCEEDED)
        await until(lambda: receiver.requests)
    assert [json.loads(r.body)["data"]["id"] for r in receiver.requests] == [job.id]


async def test_a_url_enables_an_endpoint_that_answered_410(
    sdk, endpoint, work, maker: Maker, receiver: Receiver
):
    receiver.statuses = [410, 200]
    async with work("cpu"):
        assert (await sdk.webhooks.test(endpoint.id, event_type=SUCCEEDED)).status_code == 410
        async with asyncio.timeout(60):
            while (await sdk.webhooks.retrieve(endpoint.id)).status == "enabled":
                await asyncio.sleep(0.05)
        with pytest.raises(openai.ConflictError) as refused:
            await sdk.webhooks.test(endpoint.id, event_type=SUCCEEDED)
        assert refused.value.code == "invalid_state"
        assert (await sdk.webhooks.update(endpoint.id, name="Alarm")).status == "disabled"
        changed = await sdk.webhooks.update(endpoint.id, url=endpoint.url)
        assert changed.status == "enabled"
        await maker.ended(Status.SUCCEEDED)
        await until(lambda: len(receiver.requests) == 2)


async def test_a_late_410_disables_no_new_url(api: Api, sdk, endpoint, receiver: Receiver):
    webhooks = api.app.state.webhooks
    project = await api.app.state.projects.by_name("acme")
    old = await webhooks.get(project.id, endpoint.id)
    await sdk.webhooks.update(endpoint.id, url=f"{receiver.url}/new")
    await webhooks.disable(old)
    assert (await sdk.webhooks.retrieve(endpoint.id)).status == "enabled"


def body(url: str) -> dict[str, Any]:
    return {"name": "Deploy", "url": url, "event_types": EVENT_TYPES}


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://elsewhere.example/a", "host_not_allowed"),
        ("ftp://127.0.0.1/a", "invalid_value"),
        ("http://user:word@127.0.0.1/a", "invalid_value"),
    ],
)
async def test_a_url_outside_the_list_is_refused(http, url, code):
    refused = await http.post("/v1/webhook_endpoints", json=body(url))
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == code
    assert refused.json()["error"]["param"] == "url"


async def test_without_the_setting_webhooks_are_off(api: Api, http, receiver: Receiver):
    api.app.state.settings = api.settings.model_copy(update={"webhook_allowed_hosts": ()})
    refused = await http.post("/v1/webhook_endpoints", json=body(receiver.url))
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "feature_disabled"
    assert "FINETUNED_WEBHOOK_ALLOWED_HOSTS" in refused.json()["error"]["message"]


async def test_a_project_has_ten_webhooks(http, receiver: Receiver):
    made = [await create(http, receiver.url) for _ in range(10)]
    refused = await http.post("/v1/webhook_endpoints", json=body(receiver.url))
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "limit_reached"
    assert (await http.delete(f"/v1/webhook_endpoints/{made[0]['id']}")).json()["deleted"] is True
    await create(http, receiver.url)
