"""An installation to back up, and an empty one to restore into."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from service.app import create_app
from service.backup import restore as restoring
from service.backup.backup import Done, back_up
from service.backup.restore import Restored
from service.backup.target import Target
from service.config import Settings
from service.core.redis import Client, connect
from service.core.storage import Storage
from service.models.catalogue import Catalogue
from tests.conftest import Api, running


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Client]:
    """Connect to the Redis of an installation."""
    redis = connect(settings.redis_url.get_secret_value())
    try:
        yield redis
    finally:
        await redis.aclose(close_connection_pool=True)


@dataclass
class Site:
    """Backups of an installation, and restores into another."""

    settings: Settings
    empty: Settings
    place: str

    async def back_up(self, keep: int | None = None) -> Done:
        """Back up to the target."""
        url = self.settings.redis_url.get_secret_value()
        storage = Storage.from_url(self.settings.storage_url)
        async with connected(self.settings) as redis:
            target = Target.open(self.place, create=True)
            return await back_up(redis, url, storage, target, keep=keep)

    async def restore(self, at: str | None = None) -> Restored:
        """Restore into the empty installation."""
        storage = Storage.from_url(self.empty.storage_url)
        catalogue, target = Catalogue(self.empty.models_file), Target.open(self.place, create=False)
        async with connected(self.empty) as redis:
            return await restoring.restore(redis, storage, catalogue, target, at=at)

    @property
    def objects(self) -> list[Path]:
        """The objects in the target, which is a folder."""
        return sorted(path for path in Path(self.place, "objects").rglob("*") if path.is_file())

    def restored(self, key: str) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        """Run an API on what was restored. The client has this key."""

        @asynccontextmanager
        async def run() -> AsyncIterator[httpx.AsyncClient]:
            async with running(create_app(self.empty)) as url, client(url, key) as http:
                yield http

        return run()


def client(url: str, key: str) -> httpx.AsyncClient:
    """Return an HTTP client with a key."""
    headers = {"authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=60, verify=False)


@pytest.fixture
async def site(api: Api, tmp_path: Path) -> Site:
    """The running API, an empty folder for backups, and an empty installation."""
    url = api.settings.redis_url.get_secret_value()
    empty = api.settings.model_copy(
        update={
            "redis_url": SecretStr(f"{url}/1"),
            "storage_url": (tmp_path / "restored").as_uri(),
        }
    )
    async with connected(empty) as redis:
        await redis.flushdb()
    return Site(api.settings, empty, str(tmp_path / "backups"))
