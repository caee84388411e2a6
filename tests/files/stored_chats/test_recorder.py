"""Tests of the recorder: which chats are stored, and when they are dropped."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable

import pytest

from service.config import Settings
from service.config.limits import ProjectLimits
from service.core import clock, metrics
from service.core.redis import Client, connect
from service.core.storage import Storage
from service.files.curation.recognizers.records import Recognizers
from service.files.stored_chats import recorder as recording
from service.files.stored_chats.recorder import Recorder
from service.files.stored_chats.records import EXPIRING, StoredChatRecord, StoredChats
from service.files.stored_chats.redaction import CHATS, RESPONSES
from service.projects.records import Project, Projects, Quotas
from service.projects.storage_use import StorageUse
from service.web.auth import Capture, Principal
from service.web.permissions import Role
from tests.files.stored_chats.support import MODEL, answer, body, stream

ON = Capture(sampling=1, expires_after_days=1)
HI = body(("user", "I am ann@example.com"))


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Client]:
    redis = connect(settings.redis_url.get_secret_value(), retries=0)
    await redis.flushdb()
    yield redis
    await redis.aclose(close_connection_pool=True)


@pytest.fixture
def projects(redis: Client) -> Projects:
    return Projects(redis)


@pytest.fixture
async def project(projects: Projects) -> Project:
    project = await projects.create("acme")
    return await projects.limit(project.id, ProjectLimits(), capture=ON)


@pytest.fixture
def stored_chats(redis: Client, projects: Projects, settings: Settings) -> StoredChats:
    quotas = Quotas(projects, settings.default_project_limits, cache_s=0)
    storage = Storage.from_url(settings.storage_url, use=StorageUse(redis, quotas.storage))
    return StoredChats(redis, storage)


def caller(project: Project, capture: Capture | None = ON) -> Principal:
    return Principal("key_a", project.id, project.name, Role.MEMBER, capture=capture)


def outcome(name: str) -> float:
    return metrics.CAPTURES.cell(name).value


async def counted(name: str, before: float) -> None:
    async with asyncio.timeout(120):
        while outcome(name) == before:
            await asyncio.sleep(0.01)


@pytest.fixture
async def chat(
    stored_chats: StoredChats, projects: Projects, project: Project
) -> AsyncIterator[Callable[..., object]]:
    """Let a chat pass by a recorder, and wait until it is counted as an outcome."""
    recorder = Recorder(stored_chats, projects)

    async def pass_by(expected: str, *chunks: bytes, request: bytes = HI) -> None:
        before = outcome(expected)
        found = recorder.begin(caller(project), CHATS, (MODEL, MODEL), request)
        assert found is not None
        for chunk in chunks or (answer("Hello ann@example.com"),):
            found.keep(chunk)
        found.end(200)
        await counted(expected, before)

    async with recorder.writing():
        yield pass_by
    assert recorder.held_bytes == 0


async def test_a_chat_is_stored_redacted_and_counts_in_the_quota(
    chat, stored_chats, project, redis, settings
):
    await Recognizers(redis).set(project.id, "customer", r"C-\d{6}", ())
    await chat("stored", *stream({"content": "Hello C-104233"}), request=HI)
    [record] = await stored_chats.list_all(project.id)
    assert (record.id, record.model, record.redactions) == ("chatcmpl-1", MODEL, 2)
    found = await stored_chats.read(record)
    assert found is not None
    assert [m["content"] for m in found.row["messages"]] == ["I am [EMAIL]", "Hello [CUSTOMER]"]
    assert (await stored_chats.storage.use.bytes_by_kind(project.id)) == {"captures": record.bytes}
    # Neither in storage nor in Redis is anything that was redacted.
    folder = stored_chats.storage.folder
    written = b"".join(f.read_bytes() for f in folder.rglob("*") if f.is_file())
    assert b"ann@example" not in written
    assert b"[EMAIL]" in written
    keys = [key async for key in redis.scan_iter("*")]
    values = [await redis.get(key) for key in keys if await redis.type(key) == b"string"]
    assert values
    assert not any(b"ann@example" in value for value in values)
    await chat("duplicate")
    assert await stored_chats.delete([record]) == 1
    assert await stored_chats.list_all(project.id) == []
    assert await stored_chats.storage.objects(project.id) == []


async def test_chats_are_chosen_by_the_capture_settings_and_the_request(
    stored_chats, projects, project
):
    recorder = Recorder(stored_chats, projects)

    def chosen(capture: Capture | None, request: bytes = HI, path: str = CHATS, **names: str):
        asked = names.get("asked", MODEL)
        found = recorder.begin(caller(project, capture), path, (asked, MODEL), request)
        if found is not None:
            found.end(500)
        return found is not None

    never, some = ON.model_copy(update={"sampling": 0}), ON.model_copy(update={"models": ("bot",)})
    assert chosen(ON)
    assert not chosen(None)
    assert chosen(ON, path=RESPONSES)
    assert not chosen(ON, path="/v1/completions")
    assert not chosen(ON, body(("user", "Hi"), store=False))
    assert not chosen(never)
    assert chosen(never, body(("user", "Hi"), store=True))
    assert not chosen(
        never,
        body(
            ("user", 'say "store": true'),
        ),
    )
    assert not chosen(some)
    assert chosen(some, asked="bot")
    half = ON.model_copy(update={"sampling": 0.5})
    assert 400 < sum(chosen(half) for _ in range(1000)) < 600
    assert recorder.held_bytes == 0


async def test_a_full_buffer_drops_chats(stored_chats, projects, project, monkeypatch):
    recorder = Recorder(stored_chats, projects)  # nothing takes what it gets

    def pass_by(request: bytes = HI, reply: bytes = b"") -> None:
        if found := recorder.begin(caller(project), CHATS, (MODEL, MODEL), request):
            found.keep(reply)
            found.end(200)

    monkeypatch.setattr(recording, "MAX_WAITING", 3)
    before = outcome("buffer_full")
    for _ in range(5):
        pass_by()
    assert outcome("buffer_full") == before + 2
    assert recorder.held_bytes == 3 * len(HI)
    monkeypatch.setattr(recording, "MAX_WAITING", 100)
    monkeypatch.setattr(recording, "MAX_HELD_BYTES", 10 * len(HI))
    for _ in range(10):
        pass_by()
    assert outcome("buffer_full") == before + 5
    assert recorder.held_bytes == 10 * len(HI)
    monkeypatch.undo()
    before = outcome("too_large")
    pass_by(reply=bytes(recording.MAX_CHAT_BYTES))
    assert outcome("too_large") == before + 1
    assert recorder.held_bytes == 10 * len(HI)


async def test_an_answer_that_failed_is_not_stored(stored_chats, projects, project):
    recorder = Recorder(stored_chats, projects)
    async with recorder.writing():
        found = recorder.begin(caller(project), CHATS, (MODEL, MODEL), HI)
        assert found is not None
        found.keep(b"data: {}\n\n")
        found.end(499)
    assert recorder.held_bytes == 0
    assert await stored_chats.list_all(project.id) == []


async def test_failures_of_redis_and_storage_drop_chats(
    chat, stored_chats, projects, project, redis, monkeypatch
):
    await redis.config_set("min-replicas-to-write", 1)
    await chat("unavailable")
    await redis.config_set("min-replicas-to-write", 0)
    await projects.limit(project.id, ProjectLimits(storage_bytes=10))
    await chat("quota_exceeded")
    await projects.limit(project.id, ProjectLimits(storage_bytes="unlimited"))
    stored_chats.storage.disk.reserve_bytes = 2**60
    await chat("storage_full")
    stored_chats.storage.disk.reserve_bytes = 0
    monkeypatch.setattr("service.files.stored_chats.records.MAX_PER_PROJECT", 0)
    await chat("project_full")
    monkeypatch.undo()
    assert await stored_chats.storage.objects(project.id) == []
    await chat("stored", answer("Hi", chat="2"))
    await projects.limit(project.id, ProjectLimits(), capture=None)
    await chat("switched_off", answer("Hi", chat="3"))


async def test_a_child_process_that_dies_loses_one_chat(stored_chats, projects, project):
    recorder = Recorder(stored_chats, projects)
    async with recorder.writing():
        for number, expected in enumerate(("stored", "failed", "stored")):
            before = outcome(expected)
            found = recorder.begin(caller(project), CHATS, (MODEL, MODEL), HI)
            assert found is not None
            found.keep(answer("Hi", chat=str(number)))
            if expected == "failed":
                assert recorder.child_pid is not None
                os.kill(recorder.child_pid, signal.SIGKILL)
            found.end(200)
            await counted(expected, before)
    assert recorder.child_pid is None
    assert [record.id for record in await stored_chats.list_all(project.id)] == [
        "chatcmpl-0",
        "chatcmpl-2",
    ]


async def test_expired_chats_and_chats_without_records_are_removed(stored_chats, project):
    record = StoredChatRecord(
        id="chatcmpl-1",
        project_id=project.id,
        created_at=clock.now_s(),
        model=MODEL,
        finish_reason="stop",
        expires_at=clock.now_s() + 60,
        bytes=2,
    )
    assert await stored_chats.add(record, b"{}")
    lost = record.model_copy(update={"id": "chatcmpl-lost"})
    await stored_chats.storage.put_bytes(lost.key, b"{}")
    await stored_chats._leftovers.noted(f"{project.id}/{lost.id}", record.created_at)
    await stored_chats.sweep(record.created_at + 1)
    assert [found.key for found in await stored_chats.storage.objects(project.id)] == [record.key]
    await stored_chats.delete_expired(record.expires_at - 1)
    assert await stored_chats.get(project.id, record.id) == record
    await stored_chats.delete_expired(record.expires_at)
    assert await stored_chats.list_all(project.id) == []
    assert await stored_chats.storage.objects(project.id) == []
    assert not await stored_chats.redis.exists(EXPIRING, "finetuned:captures-leftover")
