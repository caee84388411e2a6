"""Adapters on the engine's disk: from a model's name to a folder that vLLM can load.

Folders are downloaded once, verified by digest, and bounded in bytes. vLLM keeps some adapters in
memory. It reads an evicted adapter from its folder again whenever a request needs it. If the folder
is missing then, not only the request fails: the whole engine exits (seen with vLLM 0.32). So a
folder is removed only if no request holds it or has held it recently, and a folder's path never
changes.

A note next to each folder describes its content. It lets the next run reuse the folders of the
previous one, and remove those of adapters deleted since.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import re
import shutil
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from service.core import metrics
from service.core.encryption.signing import PublicKey
from service.core.records import Unreadable
from service.core.redis import REDIS_ERRORS, why
from service.core.storage import Manifest, StorageCorrupt, StorageError
from service.models.adapter_check import AdapterMismatch, BaseLayout, check_adapter
from service.models.adapters import DRAFT_NAME, signature_fault
from service.models.records import NAME
from service.models.registry import ModelRegistry, ServableModel

Fetch = Callable[[str, Path], Awaitable[Manifest]]
"""Downloads the folder artifact at a storage prefix to a path, completely or not at all."""

# vLLM may still be ending a request whose connection closed: it notices only at its next step.
_KEEP_AFTER_USE_S = 10.0
_KEY = re.compile(r"[0-9a-f]{64}")


class _Note(msgspec.Struct):
    """The note stored next to a folder."""

    name: str
    manifest: Manifest


@dataclass
class _Entry:
    name: str
    path: Path
    bytes: int
    holders: int = 0
    used_at: float = 0.0


class AdapterCache:
    """Adapter folders below `root`, with at most `max_bytes` of unused ones."""

    def __init__(
        self,
        root: Path,
        max_bytes: int,
        fetch: Fetch,
        *,
        keep_after_use_s: float = _KEEP_AFTER_USE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._fetch = fetch
        self._keep_after_use_s = keep_after_use_s
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._arriving: dict[str, asyncio.Task[_Entry]] = {}
        self._unchecked = _left_by_previous_run(root)  # adapter names by key
        self._removals = itertools.count()
        self.on_removal: Callable[[str], object] = lambda name: None
        """Called with the name of an adapter before its folder is removed."""

    @property
    def bytes(self) -> int:
        """Disk space of the adapters verified in this run, in bytes."""
        return sum(e.bytes for e in self._entries.values())

    @property
    def limit_bytes(self) -> int:
        """Maximum disk space of the adapters, in bytes."""
        return self._max_bytes

    @property
    def names(self) -> set[str]:
        """Names of all adapters that have a folder here."""
        return {e.name for e in self._entries.values()} | set(self._unchecked.values())

    @asynccontextmanager
    async def hold(self, artifact: str, digest: str, *, name: str) -> AsyncIterator[Path]:
        """Yield the folder of an adapter, which is kept while the context is open.

        `name` is stored in the folder's note. Raises StorageError if the adapter is not cached and
        cannot be downloaded, and StorageCorrupt if the download does not match what was registered.
        """
        key = hashlib.sha256(f"{artifact}\n{digest}".encode()).hexdigest()
        entry = await self._get(key, artifact, digest, name)
        while self._entries.get(key) is not entry:  # removed before it could be held
            entry = await self._get(key, artifact, digest, name)
        entry.holders += 1
        try:
            yield entry.path
        finally:
            entry.holders -= 1
            entry.used_at = self._clock()

    async def remove(self, name: str) -> bool:
        """Remove an adapter's folders. Returns False if one is or was recently in use."""
        left = False
        for key in [k for k, other in self._unchecked.items() if other == name]:
            await self._remove_unchecked(key)
        for key, entry in [(k, e) for k, e in self._entries.items() if e.name == name]:
            if self._in_use(entry):
                left = True
            else:
                await self._remove(key, entry)
        return not left

    async def _get(self, key: str, artifact: str, digest: str, name: str) -> _Entry:
        if (entry := self._entries.get(key)) is not None:
            entry.used_at = self._clock()
            return entry
        # One task downloads it for all who wait, and continues if one of them leaves.
        task = self._arriving.get(key)
        if task is None:
            task = asyncio.create_task(self._bring(key, artifact, digest, name))
            task.add_done_callback(lambda _: self._arriving.pop(key, None))
            self._arriving[key] = task
        return await asyncio.shield(task)

    async def _bring(self, key: str, artifact: str, digest: str, name: str) -> _Entry:
        path = self._root / key
        size, source = None, "disk"
        if key in self._unchecked:
            del self._unchecked[key]
            size = await asyncio.to_thread(_size_if_whole, path, digest)
        if size is None:
            manifest = await self._fetch(artifact, path)
            if manifest.digest != digest:
                await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
                raise StorageCorrupt(f"{artifact} does not match the registered artifact")
            note = msgspec.json.encode(_Note(name, manifest))
            await asyncio.to_thread(_sidecar(path).write_bytes, note)
            size, source = manifest.size, "storage"
        entry = _Entry(name, path, size, used_at=self._clock())
        self._entries[key] = entry
        metrics.ADAPTER_ARRIVALS.cell(source).inc()
        await self._make_room(key)
        return entry

    async def _make_room(self, newest: str) -> None:
        for key in list(self._unchecked) if self.bytes > self._max_bytes else ():
            await self._remove_unchecked(key)
        for key, entry in sorted(self._entries.items(), key=lambda item: item[1].used_at):
            if self.bytes <= self._max_bytes:
                return
            if key in self._entries and key != newest and not self._in_use(entry):
                await self._remove(key, entry)

    def _in_use(self, entry: _Entry) -> bool:
        return entry.holders > 0 or entry.used_at > self._clock() - self._keep_after_use_s

    async def _remove(self, key: str, entry: _Entry) -> None:
        del self._entries[key]
        self.on_removal(entry.name)
        # Renamed in the same step, so that a later request for the adapter downloads it again.
        doomed = entry.path.rename(entry.path.with_name(f".{key}-{next(self._removals)}-old"))
        _sidecar(entry.path).unlink(missing_ok=True)
        metrics.ADAPTER_REMOVALS.cell().inc()
        log.info("removed adapter folder %s from the cache", key[:12])
        await asyncio.to_thread(shutil.rmtree, doomed, ignore_errors=True)

    async def _remove_unchecked(self, key: str) -> None:
        if self._unchecked.pop(key, None) is not None:
            metrics.ADAPTER_REMOVALS.cell().inc()
            await asyncio.to_thread(_remove, self._root / key)


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")


def _left_by_previous_run(root: Path) -> dict[str, str]:
    """Return the names of existing folders by key, and remove incomplete folders."""
    root.mkdir(parents=True, exist_ok=True)
    names: dict[str, str] = {}
    for path in root.iterdir():
        note = _note(path) if path.is_dir() and _KEY.fullmatch(path.name) else None
        if note is not None:
            names[path.name] = note.name
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == ".json" and not path.with_suffix("").is_dir():
            path.unlink(missing_ok=True)
    return names


def _note(path: Path) -> _Note | None:
    try:
        return msgspec.json.decode(_sidecar(path).read_bytes(), type=_Note)
    except (OSError, msgspec.DecodeError):
        return None


def _size_if_whole(path: Path, digest: str) -> int | None:
    """Return a folder's size in bytes, or None if a file does not match its digest."""
    note = _note(path)
    if note is None or note.manifest.digest != digest:
        return None
    try:
        for file in note.manifest.files:
            with (path / file.path).open("rb") as source:
                if hashlib.file_digest(source, "sha256").hexdigest() != file.sha256:
                    return None
    except OSError:
        return None
    return note.manifest.size


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    _sidecar(path).unlink(missing_ok=True)


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
