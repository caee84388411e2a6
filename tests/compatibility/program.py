"""A program written against version 0.2: starts each kind of work, polls it, and reads results.

It also provokes the main errors. It is never changed with the API: later versions have to serve it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.adapters import adapter, tar_of
from tests.compatibility.exchange import Recorder

Json = dict[str, Any]
Works = Callable[[], AbstractAsyncContextManager[None]]
"""Runs a worker for the duration of a block. Without it, work stays where it is."""

MODEL, SERVED_MODEL = "tiny-base", "served-base"
_NOTHING = "0" * 24
_REPORT, _ROWS = "GET /v1/files/{file_id}/report", "GET /v1/files/{file_id}/rows"
_PREVIEW = "POST /v1/files/preview"
_CLEAN, _CLEANINGS = "POST /v1/files/{file_id}/clean", "GET /v1/files/{file_id}/clean"
_CLEANING = "GET /v1/files/{file_id}/clean/{cleaning_id}"
_DIFF, _DIFF_ROWS = "GET /v1/files/{file_id}/diff", "GET /v1/files/{file_id}/diff/rows"
_MERGE, _MERGES = "POST /v1/files/merge", "GET /v1/files/{file_id}/merges"
_MERGED = "GET /v1/files/{file_id}/merges/{merge_id}"
_IMPORT, _IMPORTS = "POST /v1/models/import", "GET /v1/files/{file_id}/imports"
_IMPORTED = "GET /v1/files/{file_id}/imports/{import_id}"
_GENERATE, _GENERATIONS = "POST /v1/datasets/generate", "GET /v1/datasets/generations"
_GENERATION = "/v1/datasets/generations/{generation_id}"
_EXPORTS, _EXPORT = "/v1/exports", "/v1/exports/{export_id}"
_SWEEPS, _SWEEP = "/v1/fine_tuning/sweeps", "/v1/fine_tuning/sweeps/{sweep_id}"
_ADVISE, _ADVICE = "POST /v1/fine_tuning/advice", "/v1/fine_tuning/advice/{advice_id}"
_ERASE, _ERASURE = "POST /v1/organization/erasure", "GET /v1/organization/erasure/{erasure_id}"
_RECEIPTS, _RECEIPT = "GET /v1/erasure_receipts", "GET /v1/erasure_receipts/{receipt_id}"

_CHATS = "".join(
    json.dumps(
        {
            "messages": [
                {"role": "user", "content": f"Do you have volume {n}?"},
                {"role": "assistant", "content": f"Ahoy! Volume {n} is on the shelf{more}."},
            ]
        }
    )
    + "\n"
    for n in [*range(1, 12), 11]
    for more in (", write to ada@example.org" if n == 3 else "",)
).encode()
_TABLE = "prompt,completion\n" + "".join(
    f"Is volume {n} new?,Ahoy! Volume {n} is second-hand.\n" for n in range(1, 11)
)
_HANDBOOK = (
    b"# Opening hours\n\nThe shop is open from 10 to 18 o'clock, and closed on Mondays.\n\n"
    b"# Returns\n\nBooks can be returned within 14 days with the receipt.\n"
)


@dataclass(frozen=True)
class Stored:
    """IDs of work that workers of 0.2 completed, which is in the installation from the start."""

    export_id: str
    generation_id: str
    sweep_id: str
    advice_id: str


class Program:
    """The calls of the program. A member's key makes most, a project administrator's erases."""

    def __init__(self, http: httpx.AsyncClient, admin: httpx.AsyncClient, works: Works) -> None:
        self._http = http
        self._member, self._admin = Recorder(http), Recorder(admin)
        self.exchanges = self._admin.exchanges = self._member.exchanges
        self._call, self._works = self._member.call, works

    async def run(self, stored: Stored) -> None:
        """Run the program."""
        chats = await self._uploaded("chats.jsonl", _CHATS)
        table = await self._uploaded("questions.csv", _TABLE.encode())
        note = await self._uploaded("note.txt", b"Closed.", "user_data")
        async with self._works():
            for file_id in (chats, table):
                await self._checked(file_id)
        cleaned = await self._clean_and_report(chats, table)
        await self._compare(chats, cleaned, note)
        await self._merge(chats, table, note)
        model = await self._import(chats)
        await self._generate(note, stored.generation_id)
        await self._export(model, stored.export_id)
        await self._sweep(chats, stored.sweep_id)
        await self._advise(chats, stored.advice_id)
        await self._erase(chats)

    async def _uploaded(self, name: str, content: bytes, purpose: str = "fine-tune") -> str:
        response = await self._http.post(
            "/v1/files", files={"file": (name, content)}, data={"purpose": purpose}
        )
        assert response.status_code == 200, response.text
        return response.json()["id"]

    async def _checked(self, file_id: str) -> None:
        async with asyncio.timeout(60):
            while (await self._http.get(f"/v1/files/{file_id}")).json()["status"] == "uploaded":
                await asyncio.sleep(0.1)

    async def _ready(self, operation: str, **sent: Any) -> Json:
        """Repeat a request while its response is 202, and return the last response."""
        async with asyncio.timeout(60):
            while True:
                response = await self._call(operation, **sent, is_recorded=False)
                if response.status_code != 202:
                    self._member.keep(operation, response, **sent)
                    return response.json()
                assert response.json()["status"] == "in_progress"
                await asyncio.sleep(0.1)

    async def _ended(self, operation: str, *waiting: str, **path: Any) -> Json:
        """Retrieve an object until its status is none of `waiting`."""
        async with asyncio.timeout(60):
            while True:
                response = await self._call(operation, **path, is_recorded=False)
                if response.json().get("status") not in waiting:
                    self._member.keep(operation, response, **path)
                    return response.json()
                await asyncio.sleep(0.1)

    async def _erased(self, erasure_id: str) -> Json:
        """Retrieve an erasure until it has ended and the files of Redis are rewritten."""
        path: Json = {"erasure_id": erasure_id}
        async with asyncio.timeout(60):
            while True:
                response = await self._admin.call(_ERASURE, **path, is_recorded=False)
                erasure = response.json()
                if erasure["status"] != "in_progress" and erasure["rewrite"] is not None:
                    self._admin.keep(_ERASURE, response, **path)
                    return erasure
                await asyncio.sleep(0.1)

    async def _clean_and_report(self, chats: str, table: str) -> str:
        """Return the ID of the cleaned file. A project may have two tasks on files at once."""
        call, key = self._call, {"idempotency-key": "clean-1"}
        body = {"personal_data": "mask", "validation_share": 0.2, "seed": 7}
        made = await call(_CLEAN, file_id=chats, headers=key, json=body)
        await call(_CLEAN, file_id=chats, headers=key, json=body)
        await call(_CLEAN, file_id=chats, headers=key, json={})
        await call(_REPORT, file_id=chats, query={"model": MODEL})
        await call(_ROWS, file_id=chats, query={"model": MODEL})
        await call(_CLEAN, file_id=chats, json={})
        await call(_REPORT, file_id=table)
        await call(_ROWS, file_id=table)
        await call(_PREVIEW, json={"file_id": table})
        await call(_MERGE, json={"files": [{"file_id": chats}, {"file_id": table}]})
        await call(_CLEAN, file_id=chats, json={"near_threshold": 2})
        await call(_CLEAN, file_id=f"file-{_NOTHING}", json={})
        cleaning = made.json()["id"]
        async with self._works():
            done = await self._ended(_CLEANING, "in_progress", file_id=chats, cleaning_id=cleaning)
            await self._ready(_REPORT, file_id=chats, query={"model": MODEL})
            await self._report(chats)
            await self._rows(chats)
        await call(_CLEANINGS, file_id=chats, query={"limit": 20})
        await call(_CLEANINGS, file_id=chats, query={"after": "x"})
        await call(_CLEANINGS, file_id=f"file-{_NOTHING}")
        await call(_CLEANING, file_id=chats, cleaning_id=f"fileclean-{_NOTHING}")
        await self._preview(table)
        return done["training_file"]

    async def _report(self, chats: str) -> None:
        call = self._call
        for form in ("json", "html", "md"):
            await call(_REPORT, file_id=chats, query={"model": MODEL, "format": form})
        await call(_REPORT, file_id=f"file-{_NOTHING}")
        for wrong in (
            {"validation_file": f"file-{_NOTHING}"},
            {"model": "gpt-4o"},
            {"format": "pdf"},
            {"encoder": "e5-small"},
        ):
            await call(_REPORT, file_id=chats, query=wrong)

    async def _rows(self, chats: str) -> None:
        call, query = self._call, {"model": MODEL}
        first = await call(_ROWS, file_id=chats, query={**query, "limit": 2})
        after = first.json()["last_id"]
        await call(_ROWS, file_id=chats, query={**query, "after": after, "limit": 1})
        await call(_ROWS, file_id=chats, query={**query, "issue": "personal_data"})
        await call(_ROWS, file_id=chats, query={**query, "sort": "score", "limit": 2})
        await call(_ROWS, file_id=chats, query={**query, "language": "en", "limit": 1})
        await call(_ROWS, file_id=chats, query={**query, "after": "99999"})
        await call(_ROWS, file_id=chats, query={**query, "after": "x"})
        await call(_ROWS, file_id=chats, query={**query, "issue": "no_such_code"})
        await call(_ROWS, file_id=f"file-{_NOTHING}")

    async def _preview(self, table: str) -> None:
        body = {"file_id": table, "format": {"header_row": 0}, "limit": 2}
        await self._call(_PREVIEW, json=body)
        async with self._works():
            await self._ready(_PREVIEW, json=body)
        await self._call(_PREVIEW, json={"file_id": f"file-{_NOTHING}"})
        await self._call(_PREVIEW, json={**body, "limit": 0})

    async def _compare(self, chats: str, cleaned: str, note: str) -> None:
        call, query = self._call, {"other_file": cleaned}
        await call(_DIFF, file_id=chats, query=query)
        await call(_DIFF_ROWS, file_id=chats, query=query)
        async with self._works():
            await self._ready(_DIFF, file_id=chats, query=query)
        first = await call(_DIFF_ROWS, file_id=chats, query={**query, "limit": 2})
        after = first.json()["last_id"]
        await call(_DIFF_ROWS, file_id=chats, query={**query, "after": after, "limit": 1})
        await call(_DIFF_ROWS, file_id=chats, query={**query, "after": "x"})
        for operation in (_DIFF, _DIFF_ROWS):
            await call(operation, file_id=chats)
            await call(operation, file_id=chats, query={"other_file": note})
            await call(operation, file_id=chats, query={"other_file": f"file-{_NOTHING}"})
            await call(operation, file_id=f"file-{_NOTHING}", query=query)

    async def _merge(self, chats: str, table: str, note: str) -> None:
        call, key = self._call, {"idempotency-key": "merge-1"}
        files = [{"file_id": chats}, {"file_id": table, "max_rows": 5}]
        body = {"files": files, "filename": "both.jsonl", "seed": 7}
        made = await call(_MERGE, headers=key, json=body)
        await call(_MERGE, headers=key, json={**body, "seed": 8})
        for other in (f"file-{_NOTHING}", note):
            await call(_MERGE, json={"files": [{"file_id": chats}, {"file_id": other}]})
        await call(_MERGE, json={"files": [{"file_id": chats}]})
        path: Json = {"file_id": chats, "merge_id": made.json()["id"]}
        await call(_MERGED, **path)
        async with self._works():
            await self._ended(_MERGED, "in_progress", **path)
        await call(_MERGES, file_id=chats, query={"limit": 20})
        await call(_MERGES, file_id=chats, query={"after": "x"})
        await call(_MERGES, file_id=f"file-{_NOTHING}")
        await call(_MERGED, file_id=chats, merge_id=f"filemerge-{_NOTHING}")

    async def _import(self, chats: str) -> str:
        """Return the name of an imported model."""
        call, key = self._call, {"idempotency-key": "import-1"}
        archive = await self._uploaded("voice.tar", tar_of(adapter()), "model-import")
        body = {"file": archive, "base_model": MODEL}
        made = await call(_IMPORT, headers=key, json={**body, "suffix": "voice"})
        await call(_IMPORT, headers=key, json=body)
        await call(_IMPORT, json={**body, "file": chats})
        await call(_IMPORT, json={**body, "file": f"file-{_NOTHING}"})
        await call(_IMPORT, json={**body, "base_model": "gpt-4o"})
        await call(_IMPORT, json=body)
        await call(_IMPORT, json=body)
        path: Json = {"file_id": archive, "import_id": made.json()["id"]}
        await call(_IMPORTED, **path)
        async with self._works():
            done = await self._ended(_IMPORTED, "in_progress", **path)
            other = (await call(_IMPORTS, file_id=archive, is_recorded=False)).json()["data"][0]
            await self._ended(_IMPORTED, "in_progress", file_id=archive, import_id=other["id"])
        await call(_IMPORTS, file_id=archive)
        await call(_IMPORTS, file_id=archive, query={"limit": 1})
        await call(_IMPORTS, file_id=archive, query={"after": "x"})
        await call(_IMPORTS, file_id=f"file-{_NOTHING}")
        await call(_IMPORTED, file_id=archive, import_id=f"modelimport-{_NOTHING}")
        return done["model"]

    async def _generate(self, note: str, completed: str) -> None:
        call, key = self._call, {"idempotency-key": "handbook-1"}
        handbook = await self._uploaded("handbook.md", _HANDBOOK, "user_data")
        picture = await self._uploaded("logo.png", b"\x89PNG", "user_data")
        body: Json = {"documents": [handbook], "model": MODEL}
        wanted = {**body, "kinds": ["questions", "refusals"], "language": "en", "n": 50, "seed": 1}
        waiting = await call(_GENERATE, headers=key, json=wanted)
        short = await call(_GENERATE, json={**body, "documents": [note]})
        cancelled = await call(_GENERATE, json={**body, "metadata": {"team": "support"}})
        await call(_GENERATE, json=body)
        await call(_GENERATE, headers=key, json=body)
        await call(_GENERATE, json={**body, "documents": [f"file-{_NOTHING}"]})
        await call(_GENERATE, json={**body, "model": "unknown"})
        await call(_GENERATE, json={**body, "documents": [picture]})
        first, second, third = (one.json()["id"] for one in (waiting, short, cancelled))
        await call(f"GET {_GENERATION}", generation_id=first)
        await call(f"DELETE {_GENERATION}", generation_id=first)
        await call(f"POST {_GENERATION}/cancel", generation_id=third)
        async with self._works():
            await self._ended(f"GET {_GENERATION}", "queued", "in_progress", generation_id=second)
            await self._ended(f"GET {_GENERATION}", "queued", generation_id=first)
            await call(f"POST {_GENERATION}/cancel", generation_id=first)
            for one in (first, third):
                await self._ended(
                    f"GET {_GENERATION}", "in_progress", "cancelling", generation_id=one
                )
        await call(_GENERATIONS, query={"limit": 2})
        await call(_GENERATIONS, query={"after": third})
        await call(_GENERATIONS, query={"after": f"dsgen_{_NOTHING}"})
        await call(f"GET {_GENERATION}", generation_id=completed)
        await call(f"POST {_GENERATION}/cancel", generation_id=completed)
        await call(f"DELETE {_GENERATION}", generation_id=completed)
        for method, action in (("GET", ""), ("POST", "/cancel"), ("DELETE", "")):
            await call(f"{method} {_GENERATION}{action}", generation_id=f"dsgen_{_NOTHING}")

    async def _export(self, model: str, succeeded: str) -> None:
        call, key = self._call, {"idempotency-key": "export-1"}
        body = {"model": model, "format": "merged"}
        made = await call(f"POST {_EXPORTS}", headers=key, json=body)
        await call(f"POST {_EXPORTS}", headers=key, json={**body, "format": "adapter"})
        await call(f"POST {_EXPORTS}", json={**body, "model": MODEL})
        await call(f"POST {_EXPORTS}", json={**body, "model": "gpt-4o"})
        await call(f"POST {_EXPORTS}", json={**body, "format": "zip"})
        others = [await call(f"POST {_EXPORTS}", json=body) for _ in range(3)]
        await call(f"POST {_EXPORTS}", json=body)
        path: Json = {"export_id": made.json()["id"]}
        await call(f"GET {_EXPORT}", **path)
        await call(f"GET {_EXPORT}/content", **path)
        await call(f"POST {_EXPORT}/cancel", **path)
        await call(f"POST {_EXPORT}/cancel", **path)
        done: Json = {"export_id": succeeded}
        await call(f"GET {_EXPORT}", **done)
        await call(f"POST {_EXPORT}/cancel", **done)
        await call(f"GET {_EXPORT}/content", **done)
        for part in ("bytes=128-255", "bytes=999999-"):
            await call(f"GET {_EXPORT}/content", headers={"range": part}, **done)
        await call(f"GET {_EXPORTS}", query={"limit": 2})
        await call(f"GET {_EXPORTS}", query={"model": model, "order": "asc"})
        await call(f"GET {_EXPORTS}", query={"after": f"export-{_NOTHING}"})
        for other in others:
            await call(f"POST {_EXPORT}/cancel", export_id=other.json()["id"], is_recorded=False)
        await call(f"DELETE {_EXPORT}", **path)
        await call(f"DELETE {_EXPORT}", **done)
        await call(f"GET {_EXPORT}", **done)
        for method, action in (
            ("GET", ""),
            ("GET", "/content"),
            ("POST", "/cancel"),
            ("DELETE", ""),
        ):
            await call(f"{method} {_EXPORT}{action}", export_id=f"export-{_NOTHING}")

    async def _sweep(self, chats: str, succeeded: str) -> None:
        call, key = self._call, {"idempotency-key": "sweep-1"}
        chosen = {"n_epochs": 3, "validation_share": 0.1}
        method: Json = {"type": "supervised", "supervised": {"hyperparameters": chosen}}
        body = {
            "model": MODEL,
            "training_file": chats,
            "suffix": "bookshop",
            "seed": 42,
            "method": method,
            "values": {"learning_rate": [0.0002, 0.001]},
            "metadata": {"team": "support"},
        }
        made = await call(f"POST {_SWEEPS}", headers=key, json=body)
        path: Json = {"sweep_id": made.json()["id"]}
        await call(f"GET {_SWEEP}", **path)
        await call(f"POST {_SWEEPS}", headers=key, json={**body, "seed": 1})
        await call(f"POST {_SWEEPS}", json=body)
        await call(f"POST {_SWEEPS}", json={**body, "values": {"learning_rate": [0.001]}})
        await call(f"POST {_SWEEPS}", json={**body, "training_file": f"file-{_NOTHING}"})
        await call(f"POST {_SWEEPS}", json={**body, "model": "gpt-4o"})
        await call(f"POST {_SWEEP}/cancel", **path)
        await call(f"GET {_SWEEP}", **path)
        await call(f"GET {_SWEEP}", sweep_id=succeeded)
        await call(f"POST {_SWEEP}/cancel", sweep_id=succeeded)
        await call(f"GET {_SWEEPS}", query={"limit": 1})
        await call(f"GET {_SWEEPS}", query={"after": path["sweep_id"]})
        await call(f"GET {_SWEEPS}", query={"after": f"ftsweep-{_NOTHING}"})
        await call(f"GET {_SWEEP}", sweep_id=f"ftsweep-{_NOTHING}")
        await call(f"POST {_SWEEP}/cancel", sweep_id=f"ftsweep-{_NOTHING}")

    async def _advise(self, chats: str, completed: str) -> None:
        call, key = self._call, {"idempotency-key": "advice-1"}
        body = {"model": SERVED_MODEL, "training_file": chats}
        made = await call(_ADVISE, headers=key, json=body)
        path: Json = {"advice_id": made.json()["id"]}
        await call(f"GET {_ADVICE}", **path)
        unknown = f"file-{_NOTHING}"
        await call(_ADVISE, headers=key, json={**body, "training_file": unknown})
        await call(_ADVISE, json={**body, "training_file": unknown})
        await call(_ADVISE, json={**body, "model": MODEL})
        await call(_ADVISE, json={**body, "model": "gpt-4o"})
        await call(_ADVISE, json={"model": SERVED_MODEL})
        others = [await call(_ADVISE, json=body, is_recorded=False) for _ in range(9)]
        await call(_ADVISE, json=body)
        for other in others:
            await call(f"DELETE {_ADVICE}", advice_id=other.json()["id"], is_recorded=False)
        await call(f"DELETE {_ADVICE}", **path)
        await call(f"GET {_ADVICE}", **path)
        await call(f"GET {_ADVICE}", advice_id=completed)
        await call(f"DELETE {_ADVICE}", advice_id=completed)
        await call(f"DELETE {_ADVICE}", advice_id=f"ftadvice-{_NOTHING}")

    async def _erase(self, chats: str) -> None:
        erase, call = self._admin.call, self._call
        match = {"type": "text", "value": "Do you have volume 5?"}
        await erase(_ERASE, json={"match": {"type": "text", "value": "?"}})
        await call(_ERASE, json={"match": match})
        searched = await erase(_ERASE, json={"match": match})
        erased = await erase(_ERASE, json={"match": match, "apply": True})
        async with self._works():
            for made in (searched, erased):
                done = await self._erased(made.json()["id"])
            receipts = [one for file in done["files"] for one in file["receipts"]]
            for receipt in receipts:
                await self._ended(_RECEIPT, "in_progress", receipt_id=receipt)
        await call(_RECEIPTS, query={"subject_id": chats})
        await call(_RECEIPTS, query={"limit": 2, "order": "asc"})
        await call(_RECEIPTS, query={"after": "erasure-unknown"})
        await call(_RECEIPTS, query={"limit": 0})
        await call(_RECEIPT, receipt_id=f"erasure-{_NOTHING}")
        await erase(_ERASURE, erasure_id=f"erasuresearch-{_NOTHING}")
