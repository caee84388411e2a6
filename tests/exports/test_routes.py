"""The routes of exports, without a worker."""

from __future__ import annotations

import hashlib

import pytest

from service.core import clock
from service.core.errors import RangeNotSatisfiable
from service.core.leases import Leases
from service.exports.records import MAX_UNFINISHED
from service.exports.routes import ByteRange, parse_range
from service.fleet.workers import Worker, announce
from tests.conftest import BASE_MODEL, Api
from tests.exports.conftest import EXPORTS, MODEL, made, register, succeeded

CONTENT = bytes(range(256)) * 8


async def test_an_export_is_queued_listed_cancelled_and_deleted(http, api: Api):
    await register(api)
    export = await made(http)
    assert (export["object"], export["status"], export["model"]) == (
        "model.export",
        "queued",
        MODEL,
    )
    assert export["expires_at"] - export["created_at"] == 7 * 24 * 3600
    second = await made(http, format="merged")
    page = (await http.get(EXPORTS, params={"limit": 1})).json()
    assert ([one["id"] for one in page["data"]], page["has_more"]) == ([second["id"]], True)
    page = (await http.get(EXPORTS, params={"after": second["id"]})).json()
    assert [one["id"] for one in page["data"]] == [export["id"]]
    assert (await http.get(EXPORTS, params={"model": "other"})).json()["data"] == []
    no_content = await http.get(f"{EXPORTS}/{export['id']}/content")
    assert (no_content.status_code, no_content.json()["error"]["code"]) == (
        409,
        "invalid_state",
    )
    cancelled = (await http.post(f"{EXPORTS}/{export['id']}/cancel")).json()
    assert cancelled["status"] == "cancelled"
    assert cancelled["finished_at"] >= export["created_at"]
    again = await http.post(f"{EXPORTS}/{export['id']}/cancel")
    assert (again.status_code, again.json()) == (200, cancelled)
    deleted = await http.delete(f"{EXPORTS}/{export['id']}")
    gone = deleted.json()
    assert gone.pop("receipt").startswith("receipt-")
    assert gone == {"id": export["id"], "object": "model.export.deleted", "deleted": True}
    assert (await http.get(f"{EXPORTS}/{export['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [(BASE_MODEL, 400, "model_not_trained"), ("ft:unknown", 404, "model_not_found")],
)
async def test_only_trained_models_are_exported(http, model, status, code):
    answer = await http.post(EXPORTS, json={"model": model, "format": "adapter"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"format": "gguf"}, "q8_0"),
        ({"format": "ollama", "quantization": "q4_k_m"}, "q4_k_m"),
        ({"format": "gguf-adapter"}, None),
    ],
)
async def test_gguf_formats_have_a_quantization(http, api: Api, fields, expected):
    await register(api)
    assert (await made(http, **fields))["quantization"] == expected


async def test_other_formats_have_no_quantization(http, api: Api):
    await register(api)
    body = {"model": MODEL, "format": "merged", "quantization": "q8_0"}
    answer = await http.post(EXPORTS, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "quantization")


async def test_a_format_that_no_worker_makes_is_refused(http, api: Api):
    await register(api)
    worker = Worker(
        name="w", queues=("cpu",), device="cpu", device_name="x", gpus=0, memory_bytes=None
    )
    await announce(api.app.state.redis, worker)
    answer = await http.post(EXPORTS, json={"model": MODEL, "format": "ollama"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "feature_disabled")
    assert "finetuned-server[export]" in answer.json()["error"]["message"]
    await announce(api.app.state.redis, worker.model_copy(update={"makes_gguf": True}))
    assert (await made(http, format="ollama"))["status"] == "queued"


async def test_a_project_has_few_exports(http, api: Api, settings):
    await register(api)
    for _ in range(MAX_UNFINISHED):
        await made(http)
    refused = await http.post(EXPORTS, json={"model": MODEL, "format": "adapter"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "limit_reached")
    for export in (await http.get(EXPORTS)).json()["data"]:
        await http.post(f"{EXPORTS}/{export['id']}/cancel")
    settings.max_exports_per_project = MAX_UNFINISHED
    refused = await http.post(EXPORTS, json={"model": MODEL, "format": "adapter"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "limit_reached")


async def test_the_content_can_be_downloaded_in_parts(http, api: Api):
    await register(api)
    record = await succeeded(api, CONTENT)
    url = f"{EXPORTS}/{record.id}/content"
    whole = await http.get(url)
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert whole.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert whole.headers["accept-ranges"] == "bytes"
    part = await http.get(url, headers={"range": "bytes=1000-"})
    assert (part.status_code, part.content) == (206, CONTENT[1000:])
    assert part.headers["content-range"] == f"bytes 1000-{len(CONTENT) - 1}/{len(CONTENT)}"
    same = {"range": "bytes=0-9", "if-range": whole.headers["etag"]}
    assert (await http.get(url, headers=same)).content == CONTENT[:10]
    other = {"range": "bytes=0-9", "if-range": '"other"'}
    assert (await http.get(url, headers=other)).content == CONTENT
    outside = await http.get(url, headers={"range": f"bytes={len(CONTENT)}-"})
    assert (outside.status_code, outside.headers["content-range"]) == (
        416,
        f"bytes */{len(CONTENT)}",
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=90-200", (90, 100)),
        ("bytes=-30", (70, 100)),
        ("bytes=-300", (0, 100)),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
    ],
)
def test_ranges(header, expected):
    assert parse_range(header, 100) == (None if expected is None else ByteRange(*expected))


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=-0", "bytes=100-200"])
def test_ranges_outside_the_content(header):
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, 100)


async def test_expired_and_deleted_exports_leave_no_objects(http, api: Api):
    await register(api)
    exports, storage = api.app.state.exports, api.app.state.storage
    expired = await succeeded(api, CONTENT, expires_at=clock.now_s() - 1)
    kept, deleted = await succeeded(api, CONTENT), await succeeded(api, CONTENT)
    await exports.redis.zadd(
        "finetuned:exports-expiring", {f"{expired.project_id}/{expired.id}": expired.expires_at}
    )
    assert (await http.get(f"{EXPORTS}/{expired.id}")).status_code == 404
    assert [one["id"] for one in (await http.get(EXPORTS)).json()["data"]] == [deleted.id, kept.id]
    assert await api.app.state.eraser.erase_expired(clock.now_s()) == 1
    await http.delete(f"{EXPORTS}/{deleted.id}")
    await exports.sweep_again(kept)
    leases = Leases(exports.redis, "w", lease_s=1)
    for member in await exports.leftovers(clock.now_s()):
        await exports.clean_up(member, storage, leases)
    assert await exports.leftovers(clock.now_s()) == []
    assert await storage.keys(f"{kept.project_id}/exports") == [kept.key]
