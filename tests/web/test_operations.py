"""What all operations share, shown with exports."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from service.core import clock
from service.exports.records import ExportProgress, ExportRecord, ExportStatus
from service.web.operations import OperationEvent, OperationStatus, _after
from tests.conftest import Api
from tests.exports.conftest import EXPORTS, MODEL, made, register


async def change(
    api: Api, export: dict[str, Any], alter: Callable[[ExportRecord], ExportRecord]
) -> None:
    """Change the record of an export as its worker does."""
    acme = await api.app.state.projects.by_name("acme")
    store = api.app.state.exports
    await store.change(await store.get(acme.id, export["id"]), alter)


async def finish(api: Api, export: dict[str, Any]) -> None:
    """End an export as its worker does."""
    result = {"key": "k", "bytes": 1, "sha256": "0" * 64, "proof": PROOF}
    await change(api, export, lambda r: r.end(ExportStatus.SUCCEEDED, clock.now_s(), **result))


async def advance(api: Api, export: dict[str, Any], done: int) -> None:
    """Write progress as the worker does."""
    progress = ExportProgress(step="merging", done=done, total=4)
    fields = {"status": ExportStatus.IN_PROGRESS, "progress": progress}
    now_s = clock.now_s()
    await change(api, export, lambda r: r.start(now_s).model_copy(update=fields))


PROOF = {
    "answers": 1,
    "same_answers": 1,
    "chrf": 1.0,
    "logprob_difference": 0.0,
    "largest_logprob_difference": 0.0,
}


async def test_a_request_waits_for_the_end_of_an_operation(http, api: Api):
    await register(api)
    export = await made(http)
    url = f"{EXPORTS}/{export['id']}"
    begun = time.monotonic()
    assert (await http.get(url, params={"wait": 1})).json()["status"] == "queued"
    assert time.monotonic() - begun >= 1
    waiting = asyncio.create_task(http.get(url, params={"wait": 30}))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await finish(api, export)
    found = (await asyncio.wait_for(waiting, 20)).json()
    assert (found["status"], found["result"]["bytes"]) == ("completed", 1)
    assert (await http.get(url, params={"wait": 31})).status_code == 400


async def test_a_request_stops_waiting_when_the_operation_is_deleted(http, api: Api):
    await register(api)
    url = f"{EXPORTS}/{(await made(http))['id']}"
    waiting = asyncio.create_task(http.get(url, params={"wait": 30}))
    await asyncio.sleep(0.2)
    await http.delete(url)
    assert (await asyncio.wait_for(waiting, 20)).status_code == 404


async def test_operations_are_filtered(http, api: Api):
    await register(api)
    done, waiting = await made(http), await made(http, format="merged")
    await finish(api, done)
    for params, expected in (
        ({"status": "completed"}, [done]),
        ({"status": "queued"}, [waiting]),
        ({"format": "merged"}, [waiting]),
        ({"format": "merged", "status": "failed"}, []),
        ({"model": MODEL, "order": "asc"}, [done, waiting]),
    ):
        page = (await http.get(EXPORTS, params=params)).json()
        assert [one["id"] for one in page["data"]] == [one["id"] for one in expected], params
    assert (await http.get(EXPORTS, params={"status": "succeeded"})).status_code == 400


async def test_metadata_and_an_idempotency_key(http, api: Api):
    await register(api)
    body = {"model": MODEL, "format": "adapter", "metadata": {"team": "support"}}
    sent = [
        await http.post(EXPORTS, json=body, headers={"idempotency-key": "one"}) for _ in range(2)
    ]
    first, again = (answer.json() for answer in sent)
    assert first == again
    assert first["metadata"] == {"team": "support"}


async def test_events_are_listed_and_streamed(http, api: Api):
    await register(api)
    export = await made(http)
    url = f"{EXPORTS}/{export['id']}/events"
    listed = (await http.get(url)).json()["data"]
    assert [(one["type"], one["status"]) for one in listed] == [("status", "queued")]

    async def work() -> None:
        await asyncio.sleep(0.7)
        await advance(api, export, 1)
        await asyncio.sleep(1.2)
        await advance(api, export, 2)
        await asyncio.sleep(1.2)
        await finish(api, export)

    worker = asyncio.create_task(work())
    streamed = await _read_stream(http, url)
    await worker
    assert [one["status"] for one in streamed if one["type"] == "status"] == [
        "queued",
        "in_progress",
        "completed",
    ]
    steps = {(e["progress"]["step"], e["progress"]["completed"]) for e in streamed if e["progress"]}
    assert ("merging", 2) in steps
    listed = (await http.get(url)).json()["data"]
    assert [one["status"] for one in listed] == ["queued", "in_progress", "completed"]
    resumed = await _read_stream(http, url, **{"last-event-id": listed[1]["id"]})
    assert [one["status"] for one in resumed] == ["completed"]


async def _read_stream(http, url: str, **headers: str) -> list[dict[str, Any]]:
    async with http.stream("GET", url, params={"stream": "true"}, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in answer.aiter_lines() if line.startswith("data: ")]
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_queued_work_has_not_started(http, api: Api):
    """A worker takes an export before its turn, and may hand it back."""
    await register(api)
    export = await made(http)
    await change(api, export, lambda r: r.start(clock.now_s()))
    url = f"{EXPORTS}/{export['id']}"
    found = (await http.get(url)).json()
    assert (found["status"], found["started_at"]) == ("queued", None)
    listed = (await http.get(f"{url}/events")).json()["data"]
    assert [one["status"] for one in listed] == ["queued"]


def test_a_stream_continues_after_cancelling():
    events = [
        OperationEvent(
            id=f"erasure-1.{status}",
            created_at=1,
            type="status",
            operation_id="erasure-1",
            status=status,
            progress=None,
            error=None,
        )
        for status in (
            OperationStatus.QUEUED,
            OperationStatus.IN_PROGRESS,
            OperationStatus.CANCELLED,
        )
    ]
    assert _after("erasure-1.cancelling", events) == events[-1:]


async def test_only_work_that_has_not_completed_can_be_cancelled(http, api: Api):
    await register(api)
    done, url = await made(http), f"{EXPORTS}/{(await made(http))['id']}"
    cancelled = (await http.post(f"{url}/cancel")).json()
    assert cancelled["status"] == "cancelled"
    assert (await http.post(f"{url}/cancel")).json() == cancelled  # a retry finds what it did
    await finish(api, done)
    refused = await http.post(f"{EXPORTS}/{done['id']}/cancel")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "invalid_state")
