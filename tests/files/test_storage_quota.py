"""Tests of storage quotas: what is counted, what is refused, and what killed processes leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from service.config.limits import ProjectLimits
from service.core.storage import QuotaExceeded, Storage, StorageFull
from service.projects.storage_use import StorageUse
from tests.conftest import Api, chat_line, checked, upload
from tests.faults.actor.files import checked_file
from tests.faults.actor.jobs import post_job
from tests.faults.invariants import JOBS, listed
from tests.faults.world import worlds

MIB = 2**20
RAW = {"content-type": "application/octet-stream"}


async def limit(api: Api, storage_bytes: int | str, project: str = "acme") -> str:
    """Set the quota of a project. Returns its ID."""
    projects = api.app.state.projects
    owner = await projects.by_name(project) or await projects.create(project)
    await projects.limit(owner.id, ProjectLimits.model_validate({"storage_bytes": storage_bytes}))
    return str(owner.id)


async def used(http: httpx.AsyncClient) -> dict[str, int]:
    found = (await http.get("/v1/whoami")).json()
    kinds = found["project_storage"]
    assert sum(kinds.values()) == found["project"]["storage_bytes_used"]
    assert found["project_limits"]["storage_bytes"]["used"] == sum(kinds.values())
    return dict(kinds)


async def put(http: httpx.AsyncClient, data: Any) -> httpx.Response:
    return await http.post("/v1/files", params={"purpose": "user_data"}, content=data, headers=RAW)


def bytes_of(api: Api, project_id: str) -> int:
    """The bytes of a project in the folder of the storage, staged ones included."""
    folder = api.app.state.storage.folder / project_id
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def refused(answer: httpx.Response) -> str:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (413, "quota_exceeded"), answer.text
    assert answer.headers["x-should-retry"] == "false"
    return str(error["message"])


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65536):
        yield bytes(65536)


async def test_uploads_beyond_the_quota_are_refused_before_they_are_written(api: Api, http):
    project_id = await limit(api, 3 * MIB)
    kept = await put(http, bytes(2 * MIB))
    assert kept.status_code == 200
    before = await used(http)
    assert before == {"files": bytes_of(api, project_id)}
    message = refused(await put(http, bytes(2 * MIB)))
    assert f"{before['files']} bytes of its storage quota of {3 * MIB}" in message
    assert "storage_bytes" in message
    refused(await put(http, chunks(2 * MIB)))  # without a Content-Length
    form = {"file": ("a.txt", bytes(2 * MIB))}
    refused(await http.post("/v1/files", files=form, data={"purpose": "user_data"}))
    assert await used(http) == before == {"files": bytes_of(api, project_id)}
    assert (await http.delete(f"/v1/files/{kept.json()['id']}")).status_code == 200
    assert await used(http) == {}
    assert (await put(http, chunks(2 * MIB))).status_code == 200
    async with await api.client("other") as other:
        assert (await put(other, bytes(4 * MIB))).status_code == 200


async def test_concurrent_uploads_do_not_exceed_the_quota_together(api: Api, http):
    project_id = await limit(api, 5 * MIB - 1)
    for body in (lambda: bytes(MIB), lambda: chunks(MIB)):
        answers = await asyncio.gather(*(put(http, body()) for _ in range(10)))
        made = [answer.json()["id"] for answer in answers if answer.status_code == 200]
        assert len(made) == 4
        for answer in answers:
            if answer.status_code != 200:
                refused(answer)
        assert await used(http) == {"files": bytes_of(api, project_id)}
        assert 4 * MIB < bytes_of(api, project_id) < 5 * MIB
        for file_id in made:
            await http.delete(f"/v1/files/{file_id}")


async def test_the_parts_of_an_upload_count_and_its_completion_needs_no_further_room(
    api: Api, http
):
    await limit(api, 3 * MIB)
    fields = {"filename": "f", "purpose": "user_data", "bytes": 2 * MIB, "mime_type": "x/y"}
    path = f"/v1/uploads/{(await http.post('/v1/uploads', json=fields)).json()['id']}"
    parts = [
        (await http.post(f"{path}/parts", content=bytes(MIB), headers=RAW)).json()["id"]
        for _ in range(2)
    ]
    assert await used(http) == {"uploads": 2 * MIB}
    refused(await http.post(f"{path}/parts", content=bytes(2 * MIB), headers=RAW))
    answer = await http.post(f"{path}/complete", json={"part_ids": parts})
    assert answer.status_code == 200
    assert list(await used(http)) == ["files"]


async def test_reservations_of_a_killed_process_are_released(api: Api, settings, reconciler):
    project_id = await limit(api, 3 * MIB)
    use: StorageUse = api.app.state.storage_use
    key = f"{project_id}/files/file-1/content"
    abandoned = use.write(key)
    assert abandoned is not None
    await abandoned.reserve(2 * MIB)
    storage: Storage = api.app.state.storage
    with pytest.raises(QuotaExceeded):
        await storage.put_bytes(f"{project_id}/files/file-2/content", bytes(2 * MIB))
    # Bytes that were written, but not counted.
    await Storage.from_url(settings.storage_url).put_bytes(key, bytes(MIB))

    redis = api.app.state.redis
    await reconciler.once()
    assert await use.bytes_by_kind(project_id) == {"uploading": 2 * MIB}  # it may be alive
    for member in await redis.zrange("finetuned:reservation-leftover", 0, -1):
        await redis.zadd("finetuned:reservation-leftover", {member: 1})
    await reconciler.once()
    assert await use.bytes_by_kind(project_id) == {"files": MIB}
    await storage.delete_prefix(f"{project_id}/files/file-1")
    assert await use.bytes_by_kind(project_id) == {}
    assert not await redis.keys("finetuned:*storage-reserved")


async def test_a_write_that_cannot_be_counted_is_counted_later(api: Api, reconciler):
    project_id = await limit(api, "unlimited")
    storage, redis = api.app.state.storage, api.app.state.redis
    await reconciler.once()
    counts = f"finetuned:{project_id}:storage-used"
    await redis.set(counts, "nothing can be added to this")
    await storage.put_bytes(f"{project_id}/files/file-1/content", bytes(7))
    await redis.delete(counts)
    await storage.put_bytes(f"{project_id}/files/file-2/content", bytes(5))
    assert await api.app.state.storage_use.bytes_by_kind(project_id) == {"files": 5}
    await reconciler.once()
    assert await api.app.state.storage_use.bytes_by_kind(project_id) == {"files": 12}


async def test_the_reserve_of_the_disk_stays_free(api: Api, http, settings):
    free = Storage.from_url(settings.storage_url, reserve_bytes=0)
    await free.put_bytes("a", b"1")
    full = Storage.from_url(settings.storage_url, reserve_bytes=2**60)
    with pytest.raises(StorageFull, match="reserve"):
        await full.put_bytes("a", b"1")
    api.app.state.storage.disk.reserve_bytes = 2**60
    for body in (b"1", chunks(65536)):
        answer = await put(http, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "insufficient_storage")


async def test_a_cleaning_fails_clearly(api: Api, http, work):
    rows = [chat_line(f"Question {i}?", f"Answer {i * 7}. " * 20) for i in range(200)]
    async with work("cpu"):
        file_id = (await upload(http, "\n".join(rows).encode())).json()["id"]
        await checked(http, file_id)
        await limit(api, sum((await used(http)).values()) + 100)
        await asyncio.sleep(api.settings.lookup_cache_s)
        made = (await http.post("/v1/dataset_cleanings", json={"file_id": file_id})).json()
        async with asyncio.timeout(60):
            while made["status"] not in ("failed", "completed"):
                path = f"/v1/dataset_cleanings/{made['id']}"
                made = (await http.get(path, params={"wait": 30})).json()
    assert made["status"] == "failed"
    assert made["error"]["code"] == "quota_exceeded"
    assert "storage quota" in made["error"]["message"]


async def test_a_training_fails_clearly_when_it_saves_a_checkpoint(redis_url, tmp_path):
    async with worlds(redis_url, tmp_path, 1) as [world]:
        await world.begin()
        await checked_file(world)
        await post_job(world)
        await world.settle()
        projects, project_id = world.app.state.projects, world.notes["project"]
        [size] = await world.app.state.storage_use.totals([project_id])
        await projects.limit(project_id, ProjectLimits(storage_bytes=size + 10))
        world.queues = ("cpu", "gpu")
        await world.restart_worker()
        await world.settle()
        [job] = await listed(world, JOBS)
        assert (job["status"], job["error"]["code"]) == ("failed", "quota_exceeded")
        assert "storage quota" in job["error"]["message"]
        assert job["attempt"] == 1
        assert await world.app.state.storage_use.totals([project_id]) == [
            sum((world.storage / path).stat().st_size for path in world.objects())
        ]
