"""Scenario of an upload in two parts."""

from __future__ import annotations

import hashlib

from tests.openapi.scenario.data import CHATS, NO_UPLOAD
from tests.openapi.world import World

_HALF = CHATS.index(b"\n", len(CHATS) // 2) + 1
_DECLARED = {
    "filename": "chats.jsonl",
    "purpose": "fine-tune",
    "bytes": len(CHATS),
    "mime_type": "application/jsonl",
}


async def all_of(world: World, *, max_upload_bytes: int, max_part_bytes: int) -> None:
    """Create, add parts, complete, cancel, and provoke refusals. Two uploads may be pending."""
    upload = await _create(world, max_upload_bytes)
    path = {"upload_id": upload}
    parts = await _parts(world, path, max_part_bytes)
    md5 = hashlib.md5(CHATS, usedforsecurity=False).hexdigest()
    world.stable.keep(md5)
    wrong = {"part_ids": parts[:1]}
    await world.call("completeUpload", expect=400, path=path, json=wrong)
    await world.call("completeUpload", expect=404, path={"upload_id": NO_UPLOAD}, json=wrong)
    await world.call(
        "completeUpload",
        "in_order",
        "Parts in order, and the digest of the file",
        path=path,
        json={"part_ids": parts, "md5": md5},
    )
    await world.call("getUpload", "completed", path=path)
    await world.call("getUpload", expect=404, path={"upload_id": NO_UPLOAD})
    await world.call("cancelUpload", expect=409, path=path)


async def _create(world: World, max_upload_bytes: int) -> str:
    """Create two uploads, cancel one, and create one too many."""
    expiry = {"anchor": "created_at", "seconds": 86_400}
    made = await world.call(
        "createUpload", "chats", "Upload of a chat file in parts", json=_DECLARED
    )
    other = await world.call("createUpload", json={**_DECLARED, "expires_after": expiry})
    await world.call("createUpload", expect=409, json=_DECLARED)
    await world.call("createUpload", expect=400, json={**_DECLARED, "bytes": max_upload_bytes + 1})
    await world.call("createUpload", expect=400, json={"filename": "chats.jsonl"})
    cancelled = {"upload_id": other.json()["id"]}
    await world.call("cancelUpload", "cancelled", path=cancelled)
    await world.call("cancelUpload", expect=404, path={"upload_id": NO_UPLOAD})
    await world.call("createUploadPart", expect=409, path=cancelled, content=b"0")
    return made.json()["id"]


async def _parts(world: World, path: dict[str, str], max_part_bytes: int) -> list[str]:
    halves = CHATS[:_HALF], CHATS[_HALF:]
    for half in halves:
        world.stable.keep(hashlib.md5(half, usedforsecurity=False).hexdigest())
    first = await world.call(
        "createUploadPart",
        "form",
        "Multipart form, as sent by the SDKs",
        path=path,
        file=("part", halves[0]),
    )
    second = await world.call(
        "createUploadPart", "bare_bytes", "Raw bytes", path=path, content=halves[1]
    )
    large = b"0" * (max_part_bytes + 1)
    await world.call("createUploadPart", expect=413, path=path, content=large)
    await world.call("createUploadPart", expect=415, path=path, json={})
    await world.call("createUploadPart", expect=404, path={"upload_id": NO_UPLOAD}, content=b"0")
    await world.call("listUploadParts", "two", path=path)
    await world.call("listUploadParts", expect=404, path={"upload_id": NO_UPLOAD})
    return [first.json()["id"], second.json()["id"]]


async def no_room(world: World) -> None:
    """Send a part while the service receives as many uploads as it can."""
    upload = await world.call("createUpload", json=_DECLARED)
    path = {"upload_id": upload.json()["id"]}
    await world.call("createUploadPart", expect=429, path=path, content=b"0")
    await world.call("cancelUpload", path=path)


async def full_disk(world: World) -> None:
    """Send and join parts while storage is full."""
    size = 300_000
    upload = await world.call("createUpload", json={**_DECLARED, "bytes": 2 * size})
    path = {"upload_id": upload.json()["id"]}
    await world.call("createUploadPart", expect=507, path=path, content=b"0" * 900_000)
    await world.call("cancelUpload", path=path)
    small = await world.call("createUpload", json={**_DECLARED, "bytes": size})
    path = {"upload_id": small.json()["id"]}
    half = b"0" * (size // 2)  # a single part would be linked, which needs no space
    parts = [await world.call("createUploadPart", path=path, content=half) for _ in range(2)]
    part_ids = [part.json()["id"] for part in parts]
    await world.call("completeUpload", expect=507, path=path, json={"part_ids": part_ids})
