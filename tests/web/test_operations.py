"""What all operations share, shown with exports."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from service.core import clock
from service.exports.records import ExportRecord, ExportStatus
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


async def test_queued_work_has_not_started(http, api: Api):
    """A worker takes an export before its turn, and may hand it back."""
    await register(api)
    export = await made(http)
    await change(api, export, lambda r: r.start(clock.now_s()))
    url = f"{EXPORTS}/{export['id']}"
    found = (await http.get(url)).json()
    assert (found["status"], found["started_at"]) == ("queued", None)


async def test_only_work_that_has_not_completed_can_be_cancelled(http, api: Api):
    await register(api)
    done, url = await made(http), f"{EXPORTS}/{(await made(http))['id']}"
    cancelled = (await http.post(f"{url}/cancel")).json()
    assert cancelled["status"] == "cancelled"
    assert (await http.post(f"{url}/cancel")).json() == cancelled  # a retry finds what it did
    await finish(api, done)
    refused = await http.post(f"{EXPORTS}/{done['id']}/cancel")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "invalid_state")
