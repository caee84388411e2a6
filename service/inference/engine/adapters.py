"""Mapping from a model's name to a folder that vLLM can load, in the engine's server process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from service.core import metrics
from service.core.records import Unreadable
from service.core.redis import REDIS_ERRORS, why
from service.core.signing import PublicKey
from service.core.storage import StorageCorrupt, StorageError
from service.inference.engine.adapter_cache import AdapterCache
from service.models.adapter_check import AdapterMismatch, BaseLayout, check_adapter
from service.models.adapters import DRAFT_NAME, signature_fault
from service.models.records import NAME
from service.models.registry import ModelRegistry, ServableModel

log = logging.getLogger(__name__)

# Cached names, so that a known adapter needs no Redis. A thousand use about 0.5 MB.
_MAX_KNOWN = 10_000
# How long a broken adapter's error is cached, so that retries download nothing.
_REMEMBER_BROKEN_S, _MAX_BROKEN = 10.0, 1000


class AdapterUnavailable(Exception):
    """The registry or the storage is unavailable. A retry may succeed."""


class AdapterBroken(Exception):
    """The files are damaged or do not fit the base model. Retries do not help."""


@dataclass
class _Known:
    model: ServableModel
    checked: bool = False


class Adapters:
    """The adapters of one base model. Not thread-safe: use them in one event loop."""

    def __init__(
        self,
        registry: ModelRegistry,
        cache: AdapterCache,
        *,
        base_model: str,
        base_path: Path,
        max_rank: int,
        key: PublicKey | None = None,
    ) -> None:
        self._key = key
        self.registry = registry
        self._cache = cache
        self._base_model = base_model
        self._base_path = base_path
        self._max_rank = max_rank
        self._layout: BaseLayout | None = None
        # Names are never reused and their weights never change, so a result that was found and
        # verified stays valid, without asking Redis or storage again.
        self._known: OrderedDict[str, _Known] = OrderedDict()  # most recently used last
        self._broken: OrderedDict[str, tuple[float, str]] = OrderedDict()  # expiry and reason

    def on_removal(self, callback: Callable[[str], object]) -> None:
        """Register a callback that gets the name of each adapter before its folder is removed."""
        self._cache.on_removal = callback

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[Path | None]:
        """Yield the adapter's folder, which is kept while the context is open; None if unknown.

        Raises AdapterUnavailable or AdapterBroken.
        """
        known = await self._find(name)
        if known is None:
            yield None
            return
        async with self._held(known) as path:
            yield path

    def has(self, name: str) -> bool:
        """Whether this process has something of the adapter, in memory or on its disk."""
        return name in self._known or name in self._cache.names

    async def forget_deleted(self) -> None:
        """Remove cached data of adapters that are no longer in the registry.

        Adapters in use are skipped until the next call. Raises AdapterUnavailable.
        """
        for name in self._cache.names | self._known.keys():
            if await self._look_up(name) is not None:
                continue
            self._known.pop(name, None)
            if await self._cache.remove(name):
                log.info("adapter %s was deleted: its files are removed", name)

    def observe(self) -> None:
        """Set the gauges of the disk cache."""
        metrics.ADAPTERS.cell("disk").set(len(self._cache.names))
        metrics.ADAPTER_CACHE_BYTES.cell().set(self._cache.bytes)
        metrics.ADAPTER_CACHE_LIMIT_BYTES.cell().set(self._cache.limit_bytes)

    async def close(self) -> None:
        """Close the connection to the registry."""
        await self.registry.redis.aclose(close_connection_pool=True)

    async def _find(self, name: str) -> _Known | None:
        if (known := self._known.get(name)) is not None:
            self._known.move_to_end(name)
            return known
        model = await self._look_up(name)
        if model is None:
            return None
        known = self._known[name] = _Known(model)
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)
        return known

    async def _look_up(self, name: str) -> ServableModel | None:
        if not (NAME.fullmatch(name) or DRAFT_NAME.fullmatch(name)):
            return None
        try:
            model = await self.registry.resolve_adapter(name)
        except (*REDIS_ERRORS, Unreadable) as e:
            log.warning("adapter %s: the registry is unavailable: %s", name, why(e))
            raise AdapterUnavailable("the model registry is unavailable") from e
        if model is None or model.base_model != self._base_model:
            return None
        return None if model.artifact is None or model.digest is None else model

    @asynccontextmanager
    async def _held(self, known: _Known) -> AsyncIterator[Path]:
        model = known.model
        self._raise_if_broken(model.name)
        assert model.artifact is not None  # ensured by _look_up
        assert model.digest is not None
        self._check_signature(model, model.digest)
        async with AsyncExitStack() as stack:
            try:
                path = await stack.enter_async_context(
                    self._cache.hold(model.artifact, model.digest, name=model.name)
                )
            except StorageCorrupt as e:
                raise self._as_broken(model.name, str(e)) from e
            except (StorageError, OSError) as e:  # includes an unmounted volume
                log.warning("adapter %s cannot be fetched: %s", model.name, e)
                raise AdapterUnavailable("the adapter cannot be fetched from storage") from e
            await self._check(known, path)
            yield path

    def _check_signature(self, model: ServableModel, digest: str) -> None:
        if self._key is None:
            return
        wrong = signature_fault(self._key, model.name, model.base_model, digest, model.signature)
        if wrong is not None:
            self._known.pop(model.name, None)  # it may be signed by the next request
            raise self._as_broken(model.name, wrong)

    async def _check(self, known: _Known, path: Path) -> None:
        if known.checked:
            return
        try:
            await asyncio.to_thread(self._check_files, path)
        except AdapterMismatch as e:
            raise self._as_broken(known.model.name, str(e)) from e
        known.checked = True

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
        if len(self._broken) > _MAX_BROKEN:
            self._broken.popitem(last=False)
        return AdapterBroken(reason)
