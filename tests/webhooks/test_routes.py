"""Webhooks over HTTP: creation, lists, other projects."""

from __future__ import annotations

import pytest

from tests.conftest import Api
from tests.webhooks.conftest import Receiver, create


async def test_the_secret_is_shown_once(http, receiver: Receiver):
    made = await create(http, f"{receiver.url}/a", description="Deploy the model")
    assert made["secret"].startswith("whsec_")
    assert len(made["events"]) == 3
    shown = (await http.get(f"/v1/webhooks/{made['id']}")).json()
    assert shown == {key: value for key, value in made.items() if key != "secret"}
    assert shown["status"] == "enabled"
    listed = await http.get("/v1/webhooks")
    assert listed.json()["data"] == [shown]
    assert "whsec_" not in listed.text


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://elsewhere.example/a", "host_not_allowed"),
        ("ftp://127.0.0.1/a", "invalid_url"),
        ("http://user:word@127.0.0.1/a", "invalid_url"),
    ],
)
async def test_a_url_outside_the_list_is_refused(http, url, code):
    refused = await http.post("/v1/webhooks", json={"url": url})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == code
    assert refused.json()["error"]["param"] == "url"


async def test_without_the_setting_webhooks_are_off(api: Api, http, receiver: Receiver):
    api.app.state.settings = api.settings.model_copy(update={"webhook_allowed_hosts": ()})
    refused = await http.post("/v1/webhooks", json={"url": receiver.url})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "webhooks_disabled"
    assert "FINETUNED_WEBHOOK_ALLOWED_HOSTS" in refused.json()["error"]["message"]


@pytest.mark.parametrize("events", [[], ["fine_tuning.job.paused"]])
async def test_unknown_events_are_refused(http, receiver: Receiver, events):
    refused = await http.post("/v1/webhooks", json={"url": receiver.url, "events": events})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"].startswith("events")


async def test_a_project_has_ten_webhooks(http, receiver: Receiver):
    made = [await create(http, receiver.url) for _ in range(10)]
    refused = await http.post("/v1/webhooks", json={"url": receiver.url})
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "too_many_webhooks"
    assert (await http.delete(f"/v1/webhooks/{made[0]['id']}")).json()["deleted"] is True
    await create(http, receiver.url)


async def test_another_project_cannot_see_it(api: Api, http, receiver: Receiver):
    path = f"/v1/webhooks/{(await create(http, receiver.url))['id']}"
    async with await api.client("other") as other:
        assert (await other.get("/v1/webhooks")).json()["data"] == []
        for method, at in (("GET", path), ("DELETE", path), ("GET", f"{path}/deliveries")):
            assert (await other.request(method, at)).status_code == 404
    assert (await http.get(path)).status_code == 200


async def test_a_deleted_webhook_is_gone(http, receiver: Receiver):
    path = f"/v1/webhooks/{(await create(http, receiver.url))['id']}"
    assert (await http.delete(path)).status_code == 200
    for method in ("GET", "DELETE"):
        assert (await http.request(method, path)).status_code == 404


async def test_a_page_after_an_unknown_id_is_refused(http, receiver: Receiver):
    path = f"/v1/webhooks/{(await create(http, receiver.url))['id']}/deliveries"
    for at in ("/v1/webhooks", path):
        assert (await http.get(at, params={"after": "x"})).status_code == 400
