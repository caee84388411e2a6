"""Tests of searches for rows in all files of a project, and of their erasure."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from service.core.storage import Storage, StorageFull
from service.erasure.search.records import MATCH_KEY, SearchRecord
from service.erasure.search.task import EraseRows
from service.files.stored_chats.records import StoredChats
from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api, chat_line, checked, upload

pytestmark = pytest.mark.slow
ERASURES = "/v1/organization/erasures"
PERSON = "山田 花子"
ABOUT = chat_line("どなたですか?", f"{PERSON}です。番号は C-104233。")


def rows(*extra: str) -> bytes:
    plain = [chat_line(f"Question {i}?", f"Answer {i}.") for i in range(12)]
    return "\n".join([*plain[:3], *extra, *plain[3:]]).encode()


async def ended(http: httpx.AsyncClient, erasure_id: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            found = (await http.get(f"{ERASURES}/{erasure_id}")).json()
            if found["finished_at"] is not None:
                return found
            await asyncio.sleep(0.1)


async def erased(http: httpx.AsyncClient, kind: str, value: str, **more: Any) -> dict[str, Any]:
    body = {"match": {"type": kind, "value": value}, **more}
    answer = await http.post(ERASURES, json=body)
    assert answer.status_code == 200, answer.text
    return await ended(http, answer.json()["id"])


async def test_an_erasure_waits_while_storage_is_full(api: Api, work, monkeypatch):
    """It must not be completed with a row left."""
    async with await api.client("acme", Role.PROJECT_ADMIN) as http, work("cpu"):
        file = (await upload(http, rows(ABOUT))).json()
        await checked(http, file["id"])
        full = asyncio.Event()

        def require_room(*_: object) -> None:
            full.set()
            raise StorageFull("full")

        with monkeypatch.context() as patch:
            patch.setattr(Storage, "put_file", require_room)
            body = {"match": {"type": "substring", "value": "C-104233"}, "apply": True}
            erasure_id = (await http.post(ERASURES, json=body)).json()["id"]
            async with asyncio.timeout(60):
                await full.wait()
            await asyncio.sleep(0.5)
            assert (await http.get(f"{ERASURES}/{erasure_id}")).json()["status"] == "in_progress"
        found = await ended(http, erasure_id)
        assert (found["status"], found["result"]["unreadable_files"]) == ("completed", [])
        assert found["result"]["files"][0]["is_erased"]


async def test_rows_about_a_person_are_found_then_erased(api: Api, chats, work, caplog):
    caplog.set_level(logging.DEBUG)
    async with await api.client("acme", Role.PROJECT_ADMIN) as http, work("cpu"):
        other = (await upload(http, chats(12))).json()
        first = (await upload(http, rows(ABOUT), name="first.jsonl")).json()
        second = (await upload(http, rows(ABOUT, ABOUT), name="second.jsonl")).json()
        note = (await upload(http, PERSON.encode(), "user_data", name="note.txt")).json()
        text = "The shop opens at nine, except on Mondays.\n\n" * 400 + PERSON
        document = (await upload(http, text.encode(), name="memo.md")).json()
        for file in (other, first, second, document):
            assert (await checked(http, file["id"]))["status"] == "processed"

        # The words, in another width and spacing.
        found = await erased(http, "text", "山田　花子です")
        lines = {file["file_id"]: file["lines"] for file in found["result"]["files"]}
        assert len(lines.pop(document["id"])) == 1  # read as text, as its check did
        assert lines == {first["id"]: [4], second["id"]: [4, 5]}
        assert (await http.get(f"/v1/files/{first['id']}")).status_code == 200

        found = await erased(http, "substring", PERSON)
        by_id = {file["file_id"]: file for file in found["result"]["files"]}
        assert by_id.keys() == {first["id"], second["id"], note["id"], document["id"]}
        assert by_id[note["id"]]["rows"] is None
        assert by_id[document["id"]]["rows"] > 1
        assert found["progress"] == {"completed": 5, "total": 5, "step": None}

        found = await erased(http, "substring", "C-104233", apply=True)
        for old, count in ((first, 12), (second, 12)):
            [file] = [one for one in found["result"]["files"] if one["file_id"] == old["id"]]
            assert file["is_erased"]
            assert (await http.get(f"/v1/files/{old['id']}")).status_code == 404
            new = (await http.get(f"/v1/files/{file['new_file']}")).json()
            assert (new["rows"], new["derived_from"]) == (count, old["id"])
            content = (await http.get(f"/v1/files/{new['id']}/content")).text
            assert "C-104233" not in content
            assert content.count("\n") == count
            receipt = (await http.get(f"/v1/erasure_receipts/{file['receipts'][0]}")).json()
            assert receipt["subject_id"] == old["id"]
        assert (await http.get(f"/v1/files/{other['id']}")).status_code == 200
        assert (await erased(http, "substring", "C-104233"))["result"]["files"] == []

    # What was looked for is nowhere: not in the answer, the log, Redis or scratch.
    for text in (PERSON, "C-104233", "山田　花子です"):
        assert text not in str(found["match"])
        assert text not in caplog.text
        async for key in api.app.state.redis.scan_iter("finetuned:*erasure*"):
            if await api.app.state.redis.type(key) == b"string" and key != MATCH_KEY.encode():
                assert text not in (await api.app.state.redis.get(key)).decode()
    assert not await api.app.state.redis.exists(SearchRecord.work.unfinished_key)


async def test_an_erasure_stops_between_two_files(api: Api, work, monkeypatch):
    async with await api.client("acme", Role.PROJECT_ADMIN) as http:
        body = {"match": {"type": "substring", "value": "C-104233"}, "apply": True}
        url = f"{ERASURES}/{(await http.post(ERASURES, json=body)).json()['id']}"
        queued = (await http.post(f"{url}/cancel")).json()
        assert (queued["status"], queued["result"]["files"]) == ("cancelled", [])
        searched, go = asyncio.Event(), asyncio.Event()
        search = EraseRows._search_rows

        async def wait(self: EraseRows, *given: Any) -> None:
            searched.set()
            await go.wait()
            await search(self, *given)

        monkeypatch.setattr(EraseRows, "_search_rows", wait)
        async with asyncio.timeout(60), work("cpu"):
            files = [(await upload(http, rows(ABOUT))).json()["id"] for _ in range(2)]
            for file in files:
                await checked(http, file)
            erasure = (await http.post(ERASURES, json=body)).json()
            url = f"{ERASURES}/{erasure['id']}"
            await searched.wait()
            assert (await http.delete(url)).status_code == 409
            assert (await http.post(f"{url}/cancel")).json()["status"] == "cancelling"
            go.set()
            found = await ended(http, erasure["id"])
        assert (found["status"], found["progress"]["completed"]) == ("cancelled", 1)
        [one] = found["result"]["files"]
        assert one["is_erased"]
        left = (set(files) - {one["file_id"]}).pop()
        assert (await http.get(f"/v1/files/{left}")).status_code == 200
        assert (await http.delete(url)).json()["deleted"]
        assert (await http.get(url)).status_code == 404


async def test_a_cancelled_erasure_keeps_stored_chats(api: Api, work, monkeypatch):
    searched, go = asyncio.Event(), asyncio.Event()
    find = EraseRows._find_chats
    deleted: list[object] = []

    async def wait(self: EraseRows, *given: Any) -> Any:
        searched.set()
        await go.wait()
        await find(self, *given)
        return [SimpleNamespace(id="chatcmpl-1")]

    async def delete(_: StoredChats, chats: object) -> None:
        deleted.append(chats)

    monkeypatch.setattr(EraseRows, "_find_chats", wait)
    monkeypatch.setattr(StoredChats, "delete", delete)
    async with (
        await api.client("acme", Role.PROJECT_ADMIN) as http,
        asyncio.timeout(60),
        work("cpu"),
    ):
        body = {"match": {"type": "substring", "value": "C-104233"}, "apply": True}
        url = f"{ERASURES}/{(await http.post(ERASURES, json=body)).json()['id']}"
        await searched.wait()
        assert (await http.post(f"{url}/cancel")).json()["status"] == "cancelling"
        go.set()
        found = await ended(http, url.rpartition("/")[2])
    assert (found["status"], found["result"]["stored_chats"]["is_erased"]) == ("cancelled", False)
    assert deleted == []


async def test_a_repeated_request_starts_one_erasure(api: Api):
    async with await api.client("acme", Role.PROJECT_ADMIN) as http:
        body = {"match": {"type": "substring", "value": "C-104233"}}
        key = {"idempotency-key": "customer-7"}
        made = [(await http.post(ERASURES, json=body, headers=key)).json() for _ in range(2)]
        assert made[0] == made[1]
        assert len((await http.get(ERASURES)).json()["data"]) == 1
        other = {"match": {"type": "substring", "value": "C-104234"}}
        assert (await http.post(ERASURES, json=other, headers=key)).status_code == 409


async def test_a_row_is_found_by_its_digest_and_a_file_without_rows_left_is_deleted(api, work):
    async with await api.client("acme", Role.PROJECT_ADMIN) as http, work("cpu"):
        file = (await upload(http, f"{ABOUT}\n{ABOUT}".encode())).json()
        assert (await checked(http, file["id"]))["status"] == "processed"
        row = (await http.get(f"/v1/files/{file['id']}/content")).text.splitlines()[0]
        record = await api.app.state.files.records.get(
            (await http.get("/v1/whoami")).json()["project"]["id"], file["id"]
        )
        stored = await api.app.state.storage.get_bytes(record.canonical_key)
        digest = hashlib.sha256(stored.splitlines()[0]).hexdigest()
        found = await erased(http, "row_sha256", digest, apply=True)
        [one] = found["result"]["files"]
        assert (one["matches"], one["new_file"], one["is_erased"]) == (2, None, True)
        assert (await http.get(f"/v1/files/{file['id']}")).status_code == 404
        assert row not in str(found)


async def test_an_alias_keeps_a_file_from_a_cascade(api: Api, work):
    from tests.erasure.test_erasure import MODEL, trained

    async with await api.client("acme", Role.PROJECT_ADMIN) as http, work("cpu"):
        file = (await upload(http, rows(ABOUT))).json()
        await checked(http, file["id"])
        await trained(api, http, file["id"])
        assert MODEL.startswith(f"ft:{BASE_MODEL}")
        await http.put("/v1/aliases/helper", json={"model": MODEL})
        found = await erased(http, "substring", "C-104233", apply=True, cascade=True)
        [one] = found["result"]["files"]
        assert not one["is_erased"]
        assert "alias 'helper'" in one["error"]
        assert MODEL in found["result"]["models"]
        await http.delete("/v1/aliases/helper")
        found = await erased(http, "substring", "C-104233", apply=True, cascade=True)
        assert MODEL in found["result"]["files"][0]["deleted_models"]
        assert (await http.get(f"/v1/models/{MODEL}")).status_code == 404


@pytest.mark.parametrize(
    "match",
    [
        {"type": "text", "value": "abc"},
        {"type": "text", "value": "?!?!?!"},
        {"type": "row_sha256", "value": "f" * 63},
        {"type": "regex", "value": "a.*b"},
    ],
    ids=str,
)
async def test_invalid_matches_are_refused(api: Api, match):
    async with await api.client("acme", Role.PROJECT_ADMIN) as http:
        answer = await http.post(ERASURES, json={"match": match})
        assert answer.status_code == 400
        unknown = await http.get(f"{ERASURES}/erasure-unknown")
        assert unknown.status_code == 404
