"""Handlers of uploads in parts."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tests.faults.actor.base import ROWS, make, requests, send
from tests.faults.invariants import listed
from tests.faults.world import World

_PATH = "/v1/uploads"
_HALF = len(ROWS) // 2


async def _create(world: World) -> None:
    body = {
        "filename": "chats.jsonl",
        "purpose": "fine-tune",
        "bytes": len(ROWS),
        "mime_type": "application/jsonl",
    }
    await make(world, _PATH, "upload", json=body)


def _here(world: World, what: str) -> str:
    return f"{_PATH}/{world.notes['upload']}/{what}"


async def _add(world: World, data: bytes = ROWS[:_HALF]) -> None:
    if await send(world, "POST", _here(world, "parts"), files={"data": data}) == 200:
        world.notes.setdefault("parts", []).append(world.notes["answer"].json()["id"])


async def _with_parts(world: World) -> None:
    await _create(world)
    await _add(world)
    await _add(world, ROWS[_HALF:])


async def _complete(world: World) -> None:
    await send(world, "POST", _here(world, "complete"), json={"part_ids": world.notes["parts"]})


async def _cancel(world: World) -> None:
    await send(world, "POST", _here(world, "cancel"))


async def _ended(world: World) -> AsyncIterator[str]:
    """Check that the upload has one file, or was canceled and has none."""
    upload = (await world.http.get(_here(world, "").rstrip("/"))).json()
    wanted = {"completed": 1, "cancelled": 0}.get(upload["status"])
    if (n := len(await listed(world, "/v1/files"))) != wanted:
        yield f"{n} files of an upload that is {upload['status']}"


UPLOADS = (
    requests("createUpload", _create),
    requests("createUploadPart", _add, arrange=_create, acts={"cancel": _cancel}),
    requests(
        "completeUpload",
        _complete,
        arrange=_with_parts,
        acts={"complete": _complete, "cancel": _cancel},
        check=_ended,
    ),
    requests(
        "cancelUpload",
        _cancel,
        arrange=_with_parts,
        acts={"complete": _complete},
        check=_ended,
    ),
)
