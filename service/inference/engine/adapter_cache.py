"""Cache of adapters on the engine's disk: downloaded once, verified by digest, bounded in bytes.

vLLM keeps some adapters in memory. It reads an evicted adapter from its folder again whenever a
request needs it. If the folder is missing then, not only the request fails: the whole engine
exits (seen with vLLM 0.32). So a folder is removed only if no request holds it or has held it
recently, and a folder's path never changes.

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
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from service.core import metrics
from service.core.storage import Manifest, StorageCorrupt

log = logging.getLogger(__name__)

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
