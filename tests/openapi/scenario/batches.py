"""Batches that fail, wait for an engine or are cancelled, and one that completed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from service.batches.records import WINDOW_S, Batches, BatchRecord, BatchStatus, BatchTally
from service.core import clock, ids
from tests.openapi.scenario.data import NO_BATCH, NO_FILE
from tests.openapi.world import World

_CREATE, _CANCEL, _RETRIEVE, _LIST = "createBatch", "cancelBatch", "getBatch", "listBatches"
_ENDPOINT = "/v1/chat/completions"
_QUESTIONS = ("Are you open on Mondays?", "Do you have volume 3?")


def _lines(model: str, custom_ids: tuple[str, str]) -> bytes:
    rows = [
        {
            "custom_id": custom_id,
            "method": "POST",
            "url": _ENDPOINT,
            "body": {"model": model, "messages": [{"role": "user", "content": question}]},
        }
        for custom_id, question in zip(custom_ids, _QUESTIONS, strict=True)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


async def _uploaded(world: World, content: bytes, purpose: str = "batch") -> str:
    made = await world.call(
        "createFile", form={"purpose": purpose}, file=("requests.jsonl", content)
    )
    return str(made.json()["id"])


async def create(world: World, model: str) -> list[str]:
    """Create batches, up to the limit of unfinished ones, and return their IDs."""
    file = await _uploaded(world, _lines(model, ("hours", "volume")))
    twice = await _uploaded(world, _lines(model, ("hours", "hours")))
    other = await _uploaded(world, b"{}", "user_data")
    body: dict[str, Any] = {
        "input_file_id": file,
        "endpoint": _ENDPOINT,
        "completion_window": "24h",
    }
    key = {"idempotency-key": "nightly-1"}
    made = [
        await world.call(
            _CREATE,
            "chats",
            "Chat completions",
            headers=key,
            json={**body, "metadata": {"team": "support"}},
        ),
        await world.call(_CREATE, json={**body, "input_file_id": twice}),
        await world.call(_CREATE, json=body),
    ]
    await world.call(_CREATE, expect=409, headers=key, json=body)
    await world.call(_CREATE, expect=404, json={**body, "input_file_id": NO_FILE})
    await world.call(_CREATE, expect=400, json={**body, "input_file_id": other})
    await world.call(_CREATE, expect=429, json=body)
    found = [str(one.json()["id"]) for one in made]
    await world.call(_CANCEL, "cancelling", path={"batch_id": found[2]})
    for operation in (_RETRIEVE, _CANCEL):
        await world.call(operation, expect=404, path={"batch_id": NO_BATCH})
    await world.call(_LIST, "list", query={"limit": 2})
    await world.call(_LIST, expect=400, query={"after": NO_BATCH})
    return found


async def look(world: World, batches: list[str], store: Batches, project_id: str) -> None:
    """Look at the batches while a worker works on them. No engine answers."""
    waiting, invalid, cancelled = batches
    for batch, status, summary in (
        (invalid, "failed", "Batch whose file has faults"),
        (waiting, "in_progress", "Batch in progress"),
    ):
        await _until(world, batch, status)
        await world.call(_RETRIEVE, status, summary, path={"batch_id": batch})
    await world.call(_CANCEL, path={"batch_id": waiting})
    for batch in (waiting, cancelled):
        await _until(world, batch, "cancelled")
    summary = "Batch that was cancelled"
    await world.call(_RETRIEVE, "cancelled", summary, path={"batch_id": waiting})
    done = {"batch_id": await _completed(store, project_id, waiting)}
    await world.call(_RETRIEVE, "completed", "Batch that completed", path=done)
    await world.call(_CANCEL, expect=409, path=done)


async def _until(world: World, batch: str, status: str) -> None:
    async with asyncio.timeout(60):
        while True:
            answer = await world.call(_RETRIEVE, path={"batch_id": batch})
            if answer.json()["status"] == status:
                return
            await asyncio.sleep(0.05)


async def _completed(store: Batches, project_id: str, like: str) -> str:
    """Store what a worker stores when a batch completes, and return its ID."""
    made = await store.get(project_id, like)
    assert made is not None
    now_s = clock.now_s()
    fields = {
        "id": ids.new(ids.BATCH),
        "created_at": now_s,
        "expires_at": now_s + WINDOW_S,
        "in_progress_at": now_s,
        "finalizing_at": now_s + 4,
        "completed_at": now_s + 4,
        "cancelling_at": None,
        "cancelled_at": None,
        "status": BatchStatus.COMPLETED,
        "total": 2,
        "tally": BatchTally(completed=2, input_tokens=61, output_tokens=40),
        "output_file_id": ids.new(ids.FILE),
        "error_file_id": None,
    }
    record = BatchRecord.model_validate({**made.model_dump(), **fields})
    await store.records.create(record)
    return record.id
