"""Scenario of files: upload, list, download, delete."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from tests.openapi.scenario.data import BROKEN, CHATS, NO_FILE, NOTE, TABLE
from tests.openapi.world import World


@dataclass(frozen=True)
class Uploaded:
    """Ids of the uploaded files."""

    chats: str
    table: str
    broken: str
    note: str


async def create(world: World, max_file_bytes: int) -> Uploaded:
    """Upload four files. No worker is running yet."""
    made = await world.call(
        "createFile",
        "form",
        "Multipart form, as sent by the SDKs",
        form={"purpose": "fine-tune"},
        file=("chats.jsonl", CHATS),
    )
    table = await world.call(
        "createFile",
        "bare_bytes",
        "Raw bytes of a table, with its columns in `format`",
        query={
            "purpose": "fine-tune",
            "filename": "fragen.csv",
            "format": '{"columns": {"prompt": "Frage", "completion": "Antwort"}}',
            "expires_after[anchor]": "created_at",
            "expires_after[seconds]": 2592000,
        },
        content=TABLE.encode(),
    )
    broken = await world.call(
        "createFile", form={"purpose": "fine-tune"}, file=("broken.jsonl", BROKEN)
    )
    note = await world.call("createFile", form={"purpose": "user_data"}, file=("hours.txt", NOTE))
    await _refused(world, max_file_bytes)
    ids = [answer.json()["id"] for answer in (made, table, broken, note)]
    return Uploaded(*ids)


async def _refused(world: World, max_file_bytes: int) -> None:
    await world.call("createFile", expect=400, file=("chats.jsonl", CHATS))
    await world.call(
        "createFile", expect=400, form={"purpose": "vision"}, file=("chats.jsonl", CHATS)
    )
    await world.call(
        "createFile",
        expect=413,
        form={"purpose": "user_data"},
        file=("large.bin", b"0" * (max_file_bytes + 1)),
    )
    await world.call("createFile", expect=415, json={"purpose": "fine-tune"})


async def no_room(world: World) -> None:
    """Upload while the service receives as many uploads as it can."""
    await world.call(
        "createFile", expect=429, form={"purpose": "user_data"}, file=("hours.txt", NOTE)
    )


async def checked(world: World, file_id: str) -> None:
    """Wait until a worker has checked the file."""
    async with asyncio.timeout(60):
        while True:
            answer = await world.call("getFile", path={"file_id": file_id})
            if answer.json()["status"] != "uploaded":
                return
            await asyncio.sleep(0.05)


async def look(world: World, files: Uploaded) -> None:
    """Retrieve the files whose checks have ended."""
    for file_id in (files.chats, files.table, files.broken):
        await checked(world, file_id)
    shown = {
        "processed": ("File that passed the check", files.chats),
        "converted": ("Table with detected columns", files.table),
        "error": ("File that failed the check, with the reason", files.broken),
    }
    for name, (summary, file_id) in shown.items():
        await world.call("getFile", name, summary, path={"file_id": file_id})
    await world.call("getFile", expect=404, path={"file_id": NO_FILE})
    # A cleaning that is still running may add newer ones.
    oldest = {"purpose": "fine-tune", "limit": 2, "order": "asc"}
    await world.call("listFiles", "oldest", query=oldest)
    await world.call("listFiles", "next_page", query={"after": files.table, "order": "desc"})
    await world.call("listFiles", expect=400, query={"after": NO_FILE})
    await world.call("listFiles", expect=400, query={"limit": 0})
    await world.call("getFileContent", "text", path={"file_id": files.note})
    await world.call("getFileContent", expect=404, path={"file_id": NO_FILE})


async def erase_rows(world: World, text: str) -> None:
    """Find the rows with a text in all files."""
    body = {"match": {"type": "text", "value": text}}
    made = await world.call(
        "createErasure",
        "search",
        "Find the rows with a text, without changing anything",
        key="project_admin",
        json=body,
    )
    wrong = {"match": {"type": "text", "value": "?"}}
    await world.call("createErasure", expect=400, key="project_admin", json=wrong)
    path = {"id": made.json()["id"]}
    async with asyncio.timeout(60):
        while True:
            found = await world.call("getErasure", key="project_admin", path=path)
            if found.json()["finished_at"] is not None:
                break
            await asyncio.sleep(0.05)
    await world.call("getErasure", "completed", key="project_admin", path=path)
    admin: dict[str, Any] = {"key": "project_admin"}
    await world.call("getErasure", **admin, path=path, query={"wait": 31}, expect=400)
    await world.call("listErasures", "list", **admin, query={"status": "completed"})
    await world.call("listErasures", **admin, query={"limit": 0}, expect=400)
    await world.call("cancelErasure", expect=409, **admin, path=path)
    await world.call("deleteErasure", "deleted", **admin, path=path)
    for operation in ("getErasure", "cancelErasure", "deleteErasure"):
        await world.call(operation, expect=404, **admin, path={"id": "erasure-unknown"})


async def cancel_erasure(world: World) -> None:
    """Cancel an erasure that no worker has begun."""
    admin: dict[str, Any] = {"key": "project_admin"}
    body = {"match": {"type": "text", "value": "another text"}}
    made = await world.call("createErasure", **admin, json=body)
    await world.call("cancelErasure", "cancelled", **admin, path={"id": made.json()["id"]})


async def delete(world: World, files: Uploaded) -> None:
    """Delete a file."""
    perhaps = {"cascade": "perhaps"}
    await world.call("deleteFile", expect=400, path={"file_id": files.note}, query=perhaps)
    gone = await world.call("deleteFile", "deleted", path={"file_id": files.note})
    await world.call("deleteFile", expect=404, path={"file_id": files.note})
    path = {"receipt_id": gone.json()["receipts"][0]}
    async with asyncio.timeout(60):
        while True:
            found = await world.call("getErasureReceipt", path=path)
            if found.json()["status"] == "completed":
                break
            await asyncio.sleep(0.05)
    await world.call("listErasureReceipts", "newest", query={"limit": 1})
    await world.call("listErasureReceipts", expect=400, query={"after": "receipt-unknown"})
    await world.call("listErasureReceipts", expect=400, query={"limit": 0})
    await world.call("getErasureReceipt", "completed", path=path)
    await world.call("getErasureReceipt", expect=404, path={"receipt_id": "receipt-unknown"})


async def full_disk(world: World) -> None:
    """Upload to storage that is full."""
    await world.call(
        "createFile",
        expect=507,
        form={"purpose": "user_data"},
        file=("large.bin", b"0" * 900_000),
    )
