"""From a model's name to a folder that vLLM can load, inside the engine's server process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageCorrupt, StorageError
from service.inference.engine.adapter_cache import AdapterCache
from service.models.adapter_check import AdapterMismatch, BaseLayout, check_adapter
from service.models.records import NAME
from service.models.registry import ModelRegistry, ServableModel

log = logging.getLogger(__name__)

# So long a broken adapter is answered from memory, so that retries fetch nothing.
_REMEMBER_BROKEN_S = 10.0


class AdapterUnavailable(Exception):
    """Registry or storage is away; it may work in a moment."""


class AdapterBroken(Exception):
    """The files are damaged or do not fit the base model; no retry mends it."""


class Adapters:
    """The adapters of one base model. Not thread-safe: for one event loop."""

    def __init__(
        self,
        registry: ModelRegistry,
        cache: AdapterCache,
        *,
        base_model: str,
        base_path: Path,
        max_rank: int,
    ) -> None:
        self._registry = registry
        self._cache = cache
        self._base_model = base_model
        self._base_path = base_path
        self._max_rank = max_rank
        self._layout: BaseLayout | None = None
        # Names are never reused and their weights never change, so what was found and
        # checked once holds: then neither Redis nor storage is asked again.
        self._known: dict[str, ServableModel] = {}
        self._checked: set[str] = set()
        self._broken: dict[str, tuple[float, str]] = {}  # until when, and why

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[Path | None]:
        """The adapter's folder, kept while the context is open; None for unknown names.

        Raises AdapterUnavailable or AdapterBroken.
        """
        model = await self._find(name)
        if model is None:
            yield None
            return
        async with self._held(model) as path:
            yield path

    async def _find(self, name: str) -> ServableModel | None:
        if not NAME.fullmatch(name):
            return None
        if (known := self._known.get(name)) is not None:
            return known
        try:
            model = await self._registry.resolve_adapter(name)
        except REDIS_ERRORS as e:
            log.warning("adapter %s: Redis is away: %s", name, type(e).__name__)
            raise AdapterUnavailable("the registry of models is away") from e
        if model is None or model.base_model != self._base_model:
            return None
        if model.artifact is None or model.digest is None:
            return None
        self._known[name] = model
        return model

    @asynccontextmanager
    async def _held(self, model: ServableModel) -> AsyncIterator[Path]:
        self._raise_if_broken(model.name)
        assert model.artifact is not None  # seen to in _find
        assert model.digest is not None
        async with AsyncExitStack() as stack:
            try:
                path = await stack.enter_async_context(
                    self._cache.hold(model.artifact, model.digest)
                )
            except StorageCorrupt as e:
                raise self._as_broken(model.name, str(e)) from e
            except (StorageError, OSError) as e:  # also a volume that is not mounted
                log.warning("adapter %s cannot be fetched: %s", model.name, e)
                raise AdapterUnavailable("the adapter cannot be fetched from storage") from e
            await self._check(model.name, path)
            yield path

    async def _check(self, name: str, path: Path) -> None:
        if name in self._checked:
            return
        try:
            await asyncio.to_thread(self._check_files, path)
        except AdapterMismatch as e:
            raise self._as_broken(name, str(e)) from e
        self._checked.add(name)

    def _check_files(self, path: Path) -> None:
        if self._layout is None:
            self._layout = BaseLayout.read(self._base_path)
        check_adapter(path, self._layout, max_rank=self._max_rank)

    def _raise_if_broken(self, name: str) -> None:
        until, reason = self._broken.get(name, (0.0, ""))
        if time.monotonic() < until:
            raise AdapterBroken(reason)
        self._broken.pop(name, None)

    def _as_broken(self, name: str, reason: str) -> AdapterBroken:
        log.error("adapter %s cannot be served: %s", name, reason)
        self._broken[name] = (time.monotonic() + _REMEMBER_BROKEN_S, reason)
        return AdapterBroken(reason)
