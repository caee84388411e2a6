"""Tests of stored chat completions over HTTP, with OpenAI's unmodified SDK."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import openai
import pytest

from service.config import Settings
from service.core import clock
from service.files.stored_chats.records import StoredChatRecord, StoredChats
from service.projects.deletion import ProjectDeletions
from service.projects.records import Role
from service.web import audit_trail
from tests.conftest import Api, checked
from tests.files.stored_chats.support import MODEL, store_chat

PROJECTS = "/v1/organization/projects"
Add = Callable[..., Awaitable[StoredChatRecord]]


@pytest.fixture
async def add(api: Api) -> Add:
    """Store a chat of project acme."""
    await api.key("acme")
    project = await api.app.state.projects.by_name("acme")

    async def one(number: int, **more: Any) -> StoredChatRecord:
        return await store_chat(stored_chats_of(api), project.id, number, **more)

    return one


def stored_chats_of(api: Api) -> StoredChats:
    stored_chats: StoredChats = api.app.state.stored_chats
    return stored_chats


async def project_id(api: Api) -> str:
    return str((await api.app.state.projects.by_name("acme")).id)


async def own_project(api: Api) -> str:
    """The ID of the project acme, which is created."""
    await api.key("acme")
    return await project_id(api)


@contextlib.asynccontextmanager
async def sdk_of(
    api: Api, project: str = "acme", role: Role = Role.MEMBER
) -> AsyncIterator[openai.AsyncOpenAI]:
    key = await api.key(project, role)
    async with openai.AsyncOpenAI(api_key=key, base_url=f"{api.base_url}/v1") as sdk:
        yield sdk


async def test_the_sdk_lists_reads_describes_and_deletes_chats(api: Api, add: Add):
    for number in range(3):
        await add(number, metadata={"channel": "web" if number else "phone"})
    await add(3, model="other-model", temperature=0.5)
    async with sdk_of(api) as sdk:
        chats = sdk.chat.completions
        page = [chat.id async for chat in chats.list(limit=2)]
        assert page == [f"chatcmpl-{number}" for number in range(4)]
        assert [c.id async for c in chats.list(model="other-model")] == ["chatcmpl-3"]
        assert [c.id async for c in chats.list(metadata={"channel": "web"}, order="desc")] == [
            "chatcmpl-2",
            "chatcmpl-1",
        ]
        chat = await chats.retrieve("chatcmpl-3")
        assert (chat.model, chat.choices[0].finish_reason) == ("other-model", "stop")
        assert chat.choices[0].message.content == "Call [EMAIL]."
        assert chat.usage is not None
        assert chat.usage.completion_tokens == 3
        assert chat.model_extra is not None
        assert chat.model_extra["temperature"] == 0.5
        assert chat.model_extra["redactions"] == {"email": 1}
        said = [m async for m in chats.messages.list("chatcmpl-3", limit=1)]
        assert [(m.id, m.role, m.content) for m in said] == [
            ("chatcmpl-3-0", "system", "Be brief."),
            ("chatcmpl-3-1", "user", "Question 3?"),
        ]
        marked = await chats.update("chatcmpl-3", metadata={"quality": "good"})
        assert marked.metadata == {"quality": "good"}
        assert [c.id async for c in chats.list(metadata={"quality": "good"})] == ["chatcmpl-3"]
        gone = await chats.delete("chatcmpl-3")
        assert (gone.id, gone.deleted, gone.object) == (
            "chatcmpl-3",
            True,
            "chat.completion.deleted",
        )
        for missing in ("chatcmpl-3", "chatcmpl-*", "x" * 300):
            with pytest.raises(openai.NotFoundError):
                await chats.retrieve(missing)
        with pytest.raises(openai.BadRequestError):
            await chats.list(after="chatcmpl-9")
    assert len(await stored_chats_of(api).storage.objects()) == 3


async def test_reads_and_deletions_are_in_the_audit_log_without_texts(api: Api, add: Add):
    for number in range(3):
        await add(number)
    redis = stored_chats_of(api).redis
    await redis.delete(audit_trail.STREAM)
    async with await api.client("acme", Role.PROJECT_ADMIN) as http:
        await http.get("/v1/chat/completions")
        await http.get("/v1/chat/completions/chatcmpl-1/messages")
        await http.delete("/v1/chat/completions/chatcmpl-1")
        deleted = (await http.delete("/v1/chat/completions")).json()
    assert deleted == {"object": "chat.completions.deleted", "deleted": True, "count": 2}
    raw = [fields[b"entry"] for _, fields in await redis.xrange(audit_trail.STREAM)]
    entries = [audit_trail.decode(entry) for entry in raw]
    assert [(entry.type, entry.outcome) for entry in entries] == [
        ("chat.completions.read", "succeeded"),
        ("chat.completion.read", "succeeded"),
        ("chat.completion.deleted", "applied"),
        ("chat.completions.deleted", "applied"),
    ]
    assert entries[0].counts["chat_completions"] == 3
    assert set(entries[3].objects) == {"chatcmpl-0", "chatcmpl-2"}
    assert b"Question" not in b"".join(raw)
    assert await stored_chats_of(api).storage.objects() == []


async def test_chats_become_a_training_file(api: Api, add: Add, work):
    now_s = clock.now_s()
    for number in range(14):
        await add(number, text=f"Answer {number}.", created_at=now_s - 20 + number)
    await add(20, text="Cut off", finish_reason="length")
    await add(21, text="Of another model.", model="other-model")
    async with await api.client("acme", Role.TRAINER) as http, work("cpu"):
        answer = await http.post(
            "/v1/datasets/chat_completions",
            json={
                "model": MODEL,
                "created_after": now_s - 19,
                "limit": 12,
                "filename": "a/b.jsonl",
            },
        )
        assert answer.status_code == 200, answer.text
        file = await checked(http, answer.json()["id"])
        assert (file["status"], file["rows"], file["filename"]) == ("processed", 12, "b.jsonl")
        assert file["purpose"] == "fine-tune"
        content = (await http.get(f"/v1/files/{file['id']}/content")).text
        rows = [json.loads(line) for line in content.splitlines()]
        assert [row["messages"][-1]["content"] for row in rows] == [
            f"Answer {number}." for number in range(2, 14)
        ]
        assert [message["role"] for message in rows[0]["messages"]] == [
            "system",
            "user",
            "assistant",
        ]
        job = await http.post(
            "/v1/fine_tuning/jobs", json={"model": MODEL, "training_file": file["id"]}
        )
        assert job.status_code == 200, job.text
        none = await http.post("/v1/datasets/chat_completions", json={"model": "unknown"})
        assert (none.status_code, none.json()["error"]["code"]) == (400, "no_stored_chats")


async def test_an_erasure_finds_chats_by_their_texts_and_metadata(api: Api, add: Add, work):
    for number in range(4):
        await add(number, metadata={"ticket": f"T-{number}000"})
    await add(4, text="Your number is C-104233.")
    async with await api.client("acme", Role.PROJECT_ADMIN) as http, work("cpu"):

        async def erased(kind: str, value: str, **more: Any) -> dict[str, Any]:
            body = {"match": {"type": kind, "value": value}, **more}
            search = (await http.post("/v1/organization/erasures", json=body)).json()
            async with asyncio.timeout(60):
                while search["finished_at"] is None:
                    await asyncio.sleep(0.1)
                    path = f"/v1/organization/erasures/{search['id']}"
                    search = (await http.get(path)).json()
            assert search["status"] == "completed"
            found: dict[str, Any] = search["result"]["stored_chats"]
            return found

        found = await erased("text", "question 2")
        assert found == {"matches": 1, "ids": ["chatcmpl-2"], "is_erased": False, "error": None}
        assert (await erased("substring", "T-3000"))["ids"] == ["chatcmpl-3"]
        found = await erased("substring", "C-104233", apply=True)
        assert found == {"matches": 1, "ids": ["chatcmpl-4"], "is_erased": True, "error": None}
        assert (await erased("substring", "C-104233"))["matches"] == 0
    left = [chat.id for chat in await stored_chats_of(api).list_all(await project_id(api))]
    assert left == [f"chatcmpl-{number}" for number in range(4)]
    assert len(await stored_chats_of(api).storage.objects()) == 4


async def test_a_project_switches_capture_on_and_off(api: Api):
    async with await api.client("root", Role.ADMIN) as admin:
        project = (await admin.post(PROJECTS, json={"name": "clinic"})).json()
        assert project["capture"] is None
        path = f"{PROJECTS}/{project['id']}"
        on = {"capture": {"sampling": 0.1, "expires_after_days": 7, "models": ["bot"]}}
        changed = (await admin.post(path, json=on)).json()["capture"]
        assert changed == {
            "sampling": 0.1,
            "expires_after_days": 7,
            "models": ["bot"],
            "redaction": "mask",
            "possible_personal_data": False,
        }
        limits = {"limits": {"storage_bytes": 1000}}
        assert (await admin.post(path, json=limits)).json()["capture"] == changed
        for wrong in ({"sampling": 2}, {"sampling": "1"}, {"expires_after_days": 0}, {"x": 1}):
            assert (await admin.post(path, json={"capture": wrong})).status_code == 400
        off = (await admin.post(path, json={"capture": None})).json()
        assert (off["capture"], off["limits"]["storage_bytes"]) == (None, 1000)


async def test_a_project_admin_ends_capture_and_begins_it_if_that_is_delegated(api: Api):
    path = f"{PROJECTS}/{await own_project(api)}"
    on, off = {"capture": {"sampling": 0.5}}, {"capture": None}
    async with (
        await api.client("root", Role.ADMIN) as admin,
        await api.client("acme", Role.PROJECT_ADMIN) as owner,
        await api.client("acme", Role.MEMBER) as member,
        await api.client("other", Role.PROJECT_ADMIN) as stranger,
    ):

        async def asks(http: httpx.AsyncClient, body: dict[str, Any]) -> Any:
            answer = await http.post(path, json=body)
            return answer.json() if answer.status_code == 200 else answer.status_code

        refused = await owner.post(path, json=on)
        assert refused.status_code == 403
        assert refused.json()["error"]["param"] == "capture"
        assert "capture_managed_by" in refused.json()["error"]["message"]
        assert (await asks(admin, on))["capture_managed_by"] == "organization"
        assert (await asks(owner, off))["capture"] is None
        assert await asks(owner, on) == 403
        await asks(admin, {"capture_managed_by": "project"})
        assert (await asks(owner, on))["capture"]["sampling"] == 0.5
        assert (await owner.get(path)).json()["capture_managed_by"] == "project"
        # Everything else of the project stays with the organization.
        others: list[dict[str, Any]] = [
            {"limits": {}},
            {"capture_managed_by": "project"},
            {"name": "acme"},
        ]
        for more in others:
            assert await asks(owner, more) == 403
            assert await asks(owner, {**off, **more}) == 403
        assert (await asks(member, off), await asks(stranger, off)) == (403, 404)
        taken_back = await asks(admin, {"capture_managed_by": "organization"})
        assert taken_back["capture"]["sampling"] == 0.5
        assert await asks(owner, on) == 403
    raw = [e[b"entry"] for _, e in await stored_chats_of(api).redis.xrange(audit_trail.STREAM)]
    entries = [audit_trail.decode(entry) for entry in raw]
    assert [
        (entry.actor.role, entry.type.removeprefix("project."))
        for entry in entries
        if entry.type.startswith("project.") and entry.outcome == "applied"
    ] == [
        ("admin", "capture.enabled"),
        ("project_admin", "capture.disabled"),
        ("admin", "capture.delegated"),
        ("project_admin", "capture.enabled"),
        ("admin", "capture.delegated"),
    ]


async def test_a_deleted_project_has_no_chats(api: Api, add: Add, settings: Settings):
    record = await add(1)
    stored_chats, projects = stored_chats_of(api), api.app.state.projects
    await projects.begin_deletion(record.project_id)
    deletions = ProjectDeletions(projects, stored_chats.storage, quiet_s=0)
    for _ in range(3):
        await deletions.sweep()
    assert await projects.get(record.project_id) is None
    assert await stored_chats.storage.objects() == []
    left = [key async for key in stored_chats.redis.scan_iter("*captures*")]
    assert left == []
