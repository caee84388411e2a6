"""Tests that a worker that has stopped leaves nothing running."""

from __future__ import annotations

import asyncio

from service.core import queue
from service.core.redis import connect
from service.files.records import FUNCTION
from service.worker.main import WorkerProcess


async def test_a_task_that_takes_too_long_is_canceled(settings, monkeypatch):
    begun, canceled = asyncio.Event(), asyncio.Event()

    async def never_ends(*_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            canceled.set()

    monkeypatch.setattr("service.curation.check.CheckFile.run", never_ends)
    changes = {"worker_port": 0, "stop_grace_s": 0.1}
    worker = WorkerProcess(settings.model_copy(update=changes), ("cpu",))
    redis = connect(settings.redis_url.get_secret_value())
    await redis.flushdb()
    running = asyncio.create_task(worker.run())
    await queue.enqueue(redis, queue.CPU, FUNCTION, "proj_a", "file-a", 1)
    async with asyncio.timeout(60):
        await begun.wait()
        worker.stop()
        await running
    await redis.aclose(close_connection_pool=True)
    assert canceled.is_set()
