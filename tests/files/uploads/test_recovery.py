"""Tests of `kill -9` of an api during a complete: the upload stays pending, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys

import httpx
import pytest

from service.standalone.services import free_port
from tests.conftest import Api

pytestmark = pytest.mark.slow

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
