"""Locks a GPU that trains and serves by time slices: its engines sleep while a job trains.

The worker repeats the sleep request periodically, so that engines that start during the training
sleep too. All engines wake on their own if the worker dies.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Self

import aiohttp

from service.config import Settings
from service.core import tasks
from service.inference.headers import SLEEP_PATH, WAKE_PATH
from service.inference.upstreams.discovery import Name, Resolve, parse, resolve, split_name

log = logging.getLogger(__name__)

_CHANGE_S = 60.0  # time for weights to leave the GPU or return to it


class GpuLock:
    """Keeps the engines of a shared GPU asleep during a block, or until `release()`.

    Does nothing if the training has GPUs of its own, such as those of a cluster.
    """

    def __init__(self, settings: Settings, resolve: Resolve = resolve) -> None:
        urls = set(settings.sleeping_engines) or {
            u.strip() for urls in settings.engine_urls.values() for u in urls.split(",")
        }
        is_shared = settings.gpu_sharing == "time-slice" or bool(settings.sleeping_engines)
        is_shared = is_shared and settings.ray_address is None
        self._engines = [parse(url) for url in sorted(urls - {""})] if is_shared else []
        self._resolve = resolve
        self._lease_s = settings.lease_s
        self._drain_s = settings.engine_drain_s
        self._holder = settings.worker_name
        key = settings.upstream_api_key
        self._headers = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        self._http: aiohttp.ClientSession | None = None
        self._renewing: asyncio.Task[None] | None = None
        self.awake: list[str] = []
        """Engines that could not be put to sleep."""

    async def __aenter__(self) -> Self:
        if not self._engines:
            return self
        self._http = aiohttp.ClientSession(headers=self._headers)
        try:
            self.awake = await self._post_to_all(SLEEP_PATH)
        except BaseException:
            await self.release()
            raise
        self._renewing = asyncio.create_task(tasks.keep("engine sleep", self._renew))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()

    @property
    def is_shared(self) -> bool:
        """Whether the GPU is shared with engines."""
        return bool(self._engines)

    async def release(self) -> None:
        """Wake the engines, and wait until they are awake. Later calls do nothing."""
        http = self._http
        if http is None:
            return
        if self._renewing is not None:
            await tasks.end(self._renewing)
        try:
            for url in await self._post_to_all(WAKE_PATH):
                log.warning("engine %s could not be asked to wake up: it does so on its own", url)
        finally:
            self._http = None
            await http.close()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            await self._post_to_all(SLEEP_PATH)

    async def _post_to_all(self, path: str) -> list[str]:
        """Send the request to every engine and return the URLs of those that failed."""
        found = await asyncio.gather(*(self._urls_of(engine) for engine in self._engines))
        urls = [url for some in found for url in some]
        done = await asyncio.gather(*(self._post(url, path) for url in urls))
        return [url for url, ok in zip(urls, done, strict=True) if not ok]

    async def _urls_of(self, engine: str | Name) -> list[str]:
        """Return the engine URLs for an address, or those that a name currently resolves to."""
        if isinstance(engine, str):
            return [engine]
        try:
            return engine.urls(await self._resolve(engine.host, engine.port))
        except OSError as e:
            log.warning("no engine was found at the name %s: %s", engine.host, e)
            return []

    async def _post(self, url: str, path: str) -> bool:
        assert self._http is not None
        at, name = split_name(url)
        query = {"holder": self._holder, "lease_s": f"{self._lease_s:g}"}
        timeout = aiohttp.ClientTimeout(total=self._drain_s + _CHANGE_S, connect=5)
        try:
            async with self._http.post(
                at + path, params=query, timeout=timeout, server_hostname=name
            ) as answer:
                # 404: the engine never sleeps, because it has its own GPU or runs on a CPU.
                if answer.status in {200, 404}:
                    return True
                log.warning("engine %s answers %d to %s", url, answer.status, path)
        except (aiohttp.ClientError, TimeoutError) as e:
            log.warning("engine %s does not answer %s: %s", url, path, type(e).__name__)
        return False
