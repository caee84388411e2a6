"""Tests of uploads whose API is killed, or whose Redis response is lost: nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys

import httpx
import pytest
from redis.exceptions import ConnectionError

from service.core.redis import connect
from service.files.records import Files
from service.files.uploads import assembly
from service.files.uploads.records import Uploads
from service.standalone.services import free_port
from tests.conftest import Api
from tests.lossy import road_to

MIB = 1024 * 1024
PART, PARTS = os.urandom(48 * MIB), 4


@contextlib.asynccontextmanager
async def another_api(api: Api):
    """A replica as a separate process, on the same Redis and storage."""
    port = free_port()
    settings = api.settings
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from service.server import main; main()",
        env=os.environ
        | {
            "FINETUNED_REDIS_URL": settings.redis_url.get_secret_value(),
            "FINETUNED_STORAGE_URL": settings.storage_url,
            "FINETUNED_DATA_DIR": str(settings.data_dir),
            "FINETUNED_MODELS_FILE": str(settings.models_file),
            "FINETUNED_API_PORT": str(port),
            "FINETUNED_API_METRICS_PORT": "0",
        },
    )
    try:
        async with asyncio.timeout(60), httpx.AsyncClient() as probe:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    await probe.get(f"http://127.0.0.1:{port}/livez")
                    break
                await asyncio.sleep(0.05)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.slow
@pytest.mark.e2e
async def test_complete_survives_kill_9_of_its_api(api: Api, http):
    body = {
        "filename": "f",
        "purpose": "user_data",
        "bytes": len(PART) * PARTS,
        "mime_type": "text/plain",
    }
    path = f"/v1/uploads/{(await http.post('/v1/uploads', json=body)).json()['id']}"
    headers = {"content-type": "application/octet-stream"}
    part_ids = [
        (await http.post(f"{path}/parts", content=PART, headers=headers)).json()["id"]
        for _ in range(PARTS)
    ]
    said = {"part_ids": part_ids, "md5": hashlib.md5(PART * PARTS).hexdigest()}
    storage = api.settings.data_dir / "storage"
    async with (
        another_api(api) as (process, url),
        httpx.AsyncClient(base_url=url, headers=http.headers) as other,
    ):
        completing = asyncio.create_task(other.post(f"{path}/complete", json=said))
        async with asyncio.timeout(60):
            while not [*storage.glob("*/files/*/content*")]:
                await asyncio.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            await completing
    assert (await http.get(path)).json()["status"] == "pending"
    assert (await http.get("/v1/files")).json()["data"] == []
    assert len((await http.get(f"{path}/parts")).json()["data"]) == PARTS
    done = await http.post(f"{path}/complete", json=said, timeout=60)
    assert done.status_code == 200, done.text
    files = (await http.get("/v1/files")).json()["data"]
    assert [f["id"] for f in files] == [done.json()["file"]["id"]]
    digest = hashlib.md5()
    async with http.stream("GET", f"/v1/files/{files[0]['id']}/content") as stream:
        async for chunk in stream.aiter_bytes():
            digest.update(chunk)
    assert digest.hexdigest() == said["md5"]


BEGUN = {"filename": "f", "purpose": "user_data", "bytes": 6, "mime_type": "text/plain"}


@pytest.fixture
async def pending(http) -> tuple[str, str]:
    """An upload and its only part."""
    upload = (await http.post("/v1/uploads", json=BEGUN)).json()["id"]
    part = await http.post(f"/v1/uploads/{upload}/parts", files={"data": ("p", b"a part")})
    return upload, part.json()["id"]


@pytest.mark.parametrize("cut", [False, True])
async def test_a_lost_response_keeps_the_file(api: Api, http, redis_url, pending, cut):
    upload_id, part_id = pending
    async with road_to(redis_url) as road:
        redis = connect(road.url, retries=0)
        uploads = Uploads(redis, Files(redis, api.app.state.storage))
        project = await api.app.state.projects.by_name("acme")
        upload = await uploads.records.get(project.id, upload_id)
        assert upload is not None
        road.lose(b"EXEC", b"uploads-due", cut=cut)
        if cut:
            with pytest.raises(ConnectionError):
                await assembly.complete(uploads, upload, [part_id], None)
        else:
            await assembly.complete(uploads, upload, [part_id], None)
        assert road.lost == 1
        await redis.aclose(close_connection_pool=True)
    again = await http.post(f"/v1/uploads/{upload_id}/complete", json={"part_ids": [part_id]})
    assert again.status_code == 200, again.text
    content = await http.get(f"/v1/files/{again.json()['file']['id']}/content")
    assert content.content == b"a part"


async def test_a_lost_response_counts_a_part_once(api: Api, http, redis_url, pending):
    upload_id, _ = pending
    project = await api.app.state.projects.by_name("acme")
    async with road_to(redis_url) as road:
        redis = connect(road.url)
        uploads = Uploads(redis, Files(redis, api.app.state.storage))
        upload = await uploads.records.get(project.id, upload_id)
        assert upload is not None
        (part,) = await uploads.parts(upload)
        road.lose(b"EXEC", b"uploads")
        twin = part.model_copy(update={"id": "part_2"})
        numbered = await uploads.add_part(upload, twin, most_bytes=100)
        await redis.aclose(close_connection_pool=True)
    after = await api.app.state.uploads.records.get(project.id, upload_id)
    assert after is not None
    assert (road.lost, after.parts, after.received_bytes, numbered.number) == (1, 2, 12, 2)
