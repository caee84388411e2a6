"""Generations that fail, wait for an engine or are cancelled, and one that completed."""

from __future__ import annotations

import asyncio
from typing import Any

from service.core import clock, ids
from service.generation.records import (
    GenerationRecord,
    Generations,
    GenerationStatus,
    GenerationTally,
    IncompleteReason,
)
from tests.openapi.scenario.data import NO_FILE, NO_GENERATION
from tests.openapi.world import World

_CREATE, _LIST = "createDatasetGeneration", "listDatasetGenerations"
_RETRIEVE, _CANCEL = "getDatasetGeneration", "cancelDatasetGeneration"
_DELETE = "deleteDatasetGeneration"
_HANDBOOK = (
    "# Opening hours\n\nThe shop is open from 10 to 18 o'clock, and closed on Mondays.\n\n"
    "# Returns\n\nBooks can be returned within 14 days with the receipt."
)


async def _uploaded(world: World, name: str, content: bytes, purpose: str = "user_data") -> str:
    made = await world.call("createFile", form={"purpose": purpose}, file=(name, content))
    return str(made.json()["id"])


async def create(world: World, model: str) -> list[str]:
    """Create generations, up to the limit of unfinished ones, and return their IDs."""
    handbook = await _uploaded(world, "handbook.md", _HANDBOOK.encode())
    short = await _uploaded(world, "note.txt", b"Closed.")
    picture = await _uploaded(world, "logo.png", b"\x89PNG")
    rows = await _uploaded(world, "requests.jsonl", b"{}", "batch")
    body: dict[str, Any] = {"document_ids": [handbook], "model": model}
    key = {"idempotency-key": "handbook-1"}
    made = [
        await world.call(
            _CREATE,
            "handbook",
            "Questions and refusals from a handbook",
            headers=key,
            json={
                **body,
                "kinds": ["questions", "refusals"],
                "language": "en",
                "n": 50,
                "max_tokens_total": 200_000,
            },
        ),
        await world.call(_CREATE, json={**body, "document_ids": [short]}),
        await world.call(_CREATE, json=body),
    ]
    await world.call(_CREATE, expect=409, headers=key, json=body)
    await world.call(_CREATE, expect=404, json={**body, "document_ids": [NO_FILE]})
    await world.call(_CREATE, expect=404, json={**body, "model": "unknown"})
    await world.call(_CREATE, expect=400, json={**body, "document_ids": [picture]})
    await world.call(_CREATE, expect=400, json={**body, "document_ids": [rows]})
    await world.call(_CREATE, expect=429, json=body)
    found = [str(one.json()["id"]) for one in made]
    await world.call(_CANCEL, "cancelling", path={"id": found[2]})
    for operation in (_RETRIEVE, _CANCEL, _DELETE):
        await world.call(operation, expect=404, path={"id": NO_GENERATION})
    await world.call(_DELETE, expect=409, path={"id": found[0]})
    await world.call(_RETRIEVE, path={"id": found[2]}, query={"wait": 31}, expect=400)
    await world.call(_LIST, "list", query={"limit": 2})
    await world.call(_LIST, expect=400, query={"after": NO_GENERATION})
    return found


async def look(world: World, made: list[str], store: Generations, project_id: str) -> None:
    """Look at the generations while a worker works on them. No engine answers."""
    waiting, empty, cancelled = made
    for one, status, summary in (
        (empty, "failed", "Generation from a document without enough text"),
        (waiting, "in_progress", "Generation in progress"),
    ):
        await _until(world, one, status)
        await world.call(_RETRIEVE, status, summary, path={"id": one})
    await world.call(_CANCEL, path={"id": waiting})
    for one in (waiting, cancelled):
        await _until(world, one, "cancelled")
    done = {"id": await _completed(store, project_id, waiting)}
    summary = "Generation that completed with fewer rows than wanted"
    await world.call(_RETRIEVE, "completed", summary, path=done)
    await world.call(_CANCEL, expect=409, path=done)
    await world.call(_DELETE, "deleted", path=done)


async def _until(world: World, generation: str, status: str) -> None:
    async with asyncio.timeout(60):
        while True:
            answer = await world.call(_RETRIEVE, path={"id": generation})
            if answer.json()["status"] == status:
                return
            await asyncio.sleep(0.05)


async def _completed(store: Generations, project_id: str, like: str) -> str:
    """Store what a worker stores when a generation completes, and return its ID."""
    made = await store.get(project_id, like)
    assert made is not None
    now_s = clock.now_s()
    fields = {
        "id": ids.new(ids.GENERATION),
        "created_at": now_s,
        "started_at": now_s,
        "in_progress_at": now_s,
        "completed_at": now_s + 90,
        "cancelling_at": None,
        "cancelled_at": None,
        "status": GenerationStatus.COMPLETED,
        "incomplete": IncompleteReason.NO_MORE_PASSAGES,
        "passages": 24,
        "tally": GenerationTally(
            asked=24,
            kept=41,
            dropped={"unsupported": 9, "duplicate": 3, "malformed": 1},
            input_tokens=38_200,
            output_tokens=4_630,
        ),
        "output_file_id": ids.new(ids.FILE),
    }
    record = GenerationRecord.model_validate({**made.model_dump(), **fields})
    await store.records.create(record)
    return record.id
