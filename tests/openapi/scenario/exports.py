"""Exports that no worker has worked on yet, and one that succeeded."""

from __future__ import annotations

import hashlib
from typing import Any

from service.core import clock, ids
from service.core.storage import Storage
from service.exports.records import (
    KEPT_S,
    MAX_UNFINISHED,
    ExportRecord,
    Exports,
    ExportStatus,
)
from tests.openapi.scenario.data import NO_EXPORT
from tests.openapi.world import World

_CREATE, _CONTENT, _CANCEL, _DELETE = (
    "createModelExport",
    "getModelExportContent",
    "cancelModelExport",
    "deleteModelExport",
)
_PROOF = {
    "answers": 8,
    "same_answers": 7,
    "chrf": 0.981,
    "logprob_difference": 0.0113,
    "largest_logprob_difference": 0.0718,
    "merged_onto": {"base": "bf16", "bf16_difference": 0.0113, "nf4_difference": 0.1942},
}


async def exports(
    world: World, store: Exports, storage: Storage, model: str, base: str, project_id: str
) -> None:
    """Create exports, and look at them. No worker runs."""
    body = {"model": model, "format": "merged"}
    made = await world.call(_CREATE, "queued", "Export of a merged model", json=body)
    path = {"id": made.json()["id"]}
    await world.call("getModelExport", "queued", "Export in the queue", path=path)
    await world.call(_CONTENT, expect=409, path=path)
    await world.call(_CREATE, expect=400, json={**body, "model": base})
    await world.call(_CREATE, expect=404, json={**body, "model": "gpt-4o"})
    reused = {"idempotency-key": "export-bookshop-1"}
    await world.call(_CREATE, headers=reused, json=body)
    await world.call(_CREATE, expect=409, headers=reused, json={**body, "format": "adapter"})
    for _ in range(MAX_UNFINISHED - 2):
        await world.call(_CREATE, json=body)
    await world.call(_CREATE, expect=429, json=body)
    await world.call(_CANCEL, "cancelled", path=path)
    done = await _succeeded(store, storage, made.json(), project_id)
    await world.call("getModelExport", "completed", "Completed export", path=done)
    await world.call(_CANCEL, expect=409, path=done)
    whole = "(10240 bytes of the archive)"
    await world.call(_CONTENT, "whole", "The whole archive", path=done, cut=lambda _: whole)
    part = {"range": "bytes=1024-2047"}
    await world.call(
        _CONTENT,
        "range",
        "Part of the archive",
        path=done,
        headers=part,
        expect=206,
        cut=lambda _: "(1024 bytes of the archive)",
    )
    await world.call(_CONTENT, path=done, headers={"range": "bytes=999999-"}, expect=416)
    await world.call("getModelExport", path=done, query={"wait": 31}, expect=400)
    await world.call("listModelExports", "list", query={"limit": 2, "status": "completed"})
    await world.call("listModelExports", expect=400, query={"after": NO_EXPORT})
    for one in (await world.call("listModelExports")).json()["data"]:
        await world.call(_DELETE, "deleted", path={"id": one["id"]})
    for operation in ("getModelExport", _CONTENT, _CANCEL, _DELETE):
        await world.call(operation, expect=404, path={"id": NO_EXPORT})


async def _succeeded(
    store: Exports, storage: Storage, made: dict[str, Any], project_id: str
) -> dict[str, str]:
    """Store what a worker stores when an export succeeds, and return its path parameter."""
    queued = await store.get(project_id, made["id"])
    assert queued is not None
    content, export_id, now_s = bytes(10240), ids.new(ids.EXPORT), clock.now_s()
    fields = {
        "id": export_id,
        "created_at": now_s,
        "started_at": now_s + 1,
        "expires_at": now_s + KEPT_S,
        "finished_at": now_s + 40,
        "status": ExportStatus.SUCCEEDED,
        "key": f"{project_id}/exports/{export_id}/a1.tar",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "proof": _PROOF,
    }
    record = ExportRecord.model_validate({**queued.model_dump(), **fields})
    await store.records.create(record)
    await storage.put_bytes(str(record.key), content)
    return {"id": export_id}
