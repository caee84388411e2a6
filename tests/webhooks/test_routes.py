"""Tests of webhook endpoints over HTTP: creation, lists and other projects."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Api
from tests.webhooks.conftest import EVENT_TYPES, Receiver, create


def body(url: str) -> dict[str, Any]:
    return {"name": "Deploy", "url": url, "event_types": EVENT_TYPES}


async def test_the_secret_is_shown_once(http, receiver: Receiver):
    made = await create(http, f"{receiver.url}/a", name="Deploy the model")
    assert made["signing_secret"].startswith("whsec_")
    assert made["event_types"] == EVENT_TYPES
    shown = (await http.get(f"/v1/webhook_endpoints/{made['id']}")).json()
    assert shown == {key: value for key, value in made.items() if key != "signing_secret"}
    assert shown["status"] == "enabled"
    listed = await http.get("/v1/webhook_endpoints")
    assert listed.json()["data"] == [shown]
    assert made["signing_secret"] not in listed.text


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://elsewhere.example/a", "host_not_allowed"),
        ("ftp://127.0.0.1/a", "invalid_url"),
        ("http://user:word@127.0.0.1/a", "invalid_url"),
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
    assert refused.json()["error"]["code"] == "webhooks_disabled"
    assert "FINETUNED_WEBHOOK_ALLOWED_HOSTS" in refused.json()["error"]["message"]


@pytest.mark.parametrize("events", [[], ["fine_tuning.job.paused"]])
async def test_unknown_events_are_refused(http, receiver: Receiver, events):
    refused = await http.post(
        "/v1/webhook_endpoints", json={**body(receiver.url), "event_types": events}
    )
    assert refused.status_code == 400
    assert refused.json()["error"]["param"].startswith("event_types")


async def test_a_project_has_ten_webhooks(http, receiver: Receiver):
    made = [await create(http, receiver.url) for _ in range(10)]
    refused = await http.post("/v1/webhook_endpoints", json=body(receiver.url))
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "too_many_webhook_endpoints"
    assert (await http.delete(f"/v1/webhook_endpoints/{made[0]['id']}")).json()["deleted"] is True
    await create(http, receiver.url)


async def test_another_project_cannot_see_it(api: Api, http, receiver: Receiver):
    path = f"/v1/webhook_endpoints/{(await create(http, receiver.url))['id']}"
    async with await api.client("other") as other:
        assert (await other.get("/v1/webhook_endpoints")).json()["data"] == []
        for method, at in (
            ("GET", path),
            ("POST", path),
            ("DELETE", path),
            ("POST", f"{path}/rotate_secret"),
            ("POST", f"{path}/test"),
            ("GET", f"{path}/deliveries"),
        ):
            assert (await other.request(method, at)).status_code == 404
    assert (await http.get(path)).status_code == 200


async def test_a_deleted_webhook_is_gone(http, receiver: Receiver):
    path = f"/v1/webhook_endpoints/{(await create(http, receiver.url))['id']}"
    assert (await http.delete(path)).status_code == 200
    for method in ("GET", "DELETE"):
        assert (await http.request(method, path)).status_code == 404


async def test_a_page_after_an_unknown_id_is_refused(http, receiver: Receiver):
    path = f"/v1/webhook_endpoints/{(await create(http, receiver.url))['id']}/deliveries"
    for at in ("/v1/webhook_endpoints", path):
        assert (await http.get(at, params={"after": "x"})).status_code == 400


@pytest.mark.parametrize("missing", ["name", "url", "event_types"])
async def test_the_fields_of_the_sdk_are_required(http, receiver: Receiver, missing):
    fields = {key: value for key, value in body(receiver.url).items() if key != missing}
    refused = await http.post("/v1/webhook_endpoints", json=fields)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == missing


async def test_the_old_paths_are_gone(http):
    assert (await http.get("/v1/webhooks")).status_code == 404
