"""Proves that entries are in the sealed log, without showing other entries.

A checkpoint commits to all entries up to it by the root of their Merkle tree, and has the right
edge of the tree. So the proof of an entry needs only the entries sealed with it and the edge of the
checkpoint before them: RFC 6962, section 2.1.1.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final, NamedTuple

import msgspec

from service.audit.checkpoints import BadCheckpoint, Checkpoint, Edge, leaf_hash, node_hash
from service.audit.stored_log import (
    CHECKPOINT,
    FOLDER,
    LogFolder,
    day_of,
    list_folders,
    valid_entries,
)
from service.core.redis import Client
from service.core.storage import Storage, StorageCorrupt, StorageMissing
from service.core.tasks import gather
from service.web import audit_trail
from service.web.audit_trail import STREAM, Entry

MAX_FOLDERS: Final = 20_000
"""Folders that an excerpt reads: 70 days of an installation that seals every five minutes."""
_AT_ONCE: Final = 16
_CLOCK_SKEW_S: Final = 120.0


class Wanted(NamedTuple):
    """Which entries an excerpt has: those that `match`, on lines that have one of `texts`."""

    texts: Sequence[bytes]
    match: Callable[[Entry], bool]

    def find(self, lines: Sequence[bytes]) -> Iterator[tuple[int, Entry]]:
        """Yield the wanted entries, each with its place among the lines."""
        for place, line in enumerate(lines):
            if any(text in line for text in self.texts):
                try:
                    entry = audit_trail.decode(line)
                except (msgspec.DecodeError, ValueError):
                    continue
                if self.match(entry):
                    yield place, entry


class ProvenEntry(NamedTuple):
    """A sealed entry: its number in the log, and the path to the root of the tree of `size`."""

    entry: Entry
    line: bytes
    number: int
    size: int
    path: tuple[bytes, ...]


@dataclass
class Excerpt:
    """The wanted entries of the log, oldest first."""

    sealed: list[ProvenEntry] = field(default_factory=list)
    unsealed: list[tuple[Entry, bytes]] = field(default_factory=list)
    checkpoints: dict[int, str] = field(default_factory=dict)
    """The signed checkpoints of the sealed entries, and the newest one, by their size."""
    unreadable: list[str] = field(default_factory=list)
    """Folders whose entries were deleted because of their age, or that are damaged."""
    ended_at: str | None = None
    """The day at which reading ended, because the log is too large; None if it was read whole."""

    @property
    def entries(self) -> Iterator[Entry]:
        """All entries, oldest first."""
        yield from (one.entry for one in self.sealed)
        yield from (entry for entry, _ in self.unsealed)


async def excerpt(storage: Storage, redis: Client, wanted: Wanted, *, since: float) -> Excerpt:
    """Return the wanted entries that were written since a time, in UTC seconds.

    Raises REDIS_ERRORS and StorageError.
    """
    found = Excerpt()
    # Redis first: an entry that is sealed in between is found twice, but none is missed.
    rows = await redis.xrange(STREAM, min=str(max(0, int((since - _CLOCK_SKEW_S) * 1000))))
    waiting = {
        entry.id: (entry, line)
        for entry, line in valid_entries(fields for _, fields in rows)
        if wanted.match(entry)
    }
    folders = await _folders_since(storage, day_of(max(0.0, since - _CLOCK_SKEW_S)))
    sealed_until = folders[-1:]
    if len(folders) > MAX_FOLDERS:
        found.ended_at = folders[MAX_FOLDERS].day
        folders = folders[:MAX_FOLDERS]
    newest = ""
    pairs = list(zip([None, *folders], folders, strict=False))
    for start in range(0, len(pairs), _AT_ONCE):
        parts = await gather(
            lambda pair: _read(storage, *pair, wanted), pairs[start : start + _AT_ONCE]
        )
        for (_, folder), (entries, note) in zip(pairs[start:], parts, strict=False):
            newest = note or newest
            if entries is None:
                found.unreadable.append(folder.path)
            elif entries:
                found.sealed += entries
                found.checkpoints[entries[0].size] = note
    if found.ended_at is not None and CHECKPOINT in sealed_until[0].names:
        newest = await _note_in(storage, sealed_until[0])
    if newest:
        found.checkpoints[Checkpoint.parse(newest).size] = newest
    sealed = {one.entry.id for one in found.sealed}
    found.unsealed = [pair for key, pair in waiting.items() if key not in sealed]
    return found


async def _folders_since(storage: Storage, first: str) -> list[LogFolder]:
    """Return the folders from a day on, and the one before them, whose tree they continue."""
    days = await storage.folders(FOLDER)
    older = [day for day in days if day < first]
    folders: list[LogFolder] = []
    # A folder is named after the day of its first entry, so an older one may have wanted entries.
    for day in [*older[-2:], *(day for day in days if day >= first)]:
        folders += list_folders(await storage.keys(f"{FOLDER}/{day}"))[0]
    return folders


async def _read(
    storage: Storage, before: LogFolder | None, folder: LogFolder, wanted: Wanted
) -> tuple[list[ProvenEntry] | None, str]:
    """Return the wanted entries of a folder with its checkpoint; None if they cannot be proven."""
    if CHECKPOINT not in folder.names or (before is None and folder.number):
        return [], ""  # its entries are still in Redis, or older than what is wanted
    try:
        note = await _note_in(storage, folder)
        checkpoint = Checkpoint.parse(note)
        data = await storage.get_bytes(folder.key(checkpoint.segment))
        # In a thread: megabytes take milliseconds, in which an API process answers others.
        is_wanted = await asyncio.to_thread(_has_any, data, checkpoint, wanted.texts)
        if not is_wanted:
            return ([] if is_wanted is False else None), note
        edge = (
            Edge() if before is None else Checkpoint.parse(await _note_in(storage, before)).tree()
        )
        if edge.size != folder.number:
            return None, note
        return await asyncio.to_thread(_prove, edge, data, checkpoint, wanted), note
    except (StorageMissing, StorageCorrupt, BadCheckpoint):
        return None, ""


async def _note_in(storage: Storage, folder: LogFolder) -> str:
    return (await storage.get_bytes(folder.key(CHECKPOINT))).decode("utf-8", "replace")


def _has_any(data: bytes, checkpoint: Checkpoint, texts: Sequence[bytes]) -> bool | None:
    """Return whether sealed entries have one of the texts; None if they were changed."""
    if hashlib.sha256(data).hexdigest() != checkpoint.sha256:
        return None
    return any(text in data for text in texts)


def _prove(
    edge: Edge, data: bytes, checkpoint: Checkpoint, wanted: Wanted
) -> list[ProvenEntry] | None:
    lines = data.split(b"\n")[:-1]
    if edge.size + len(lines) != checkpoint.size:
        return None
    prover = Prover(edge, lines)
    return [
        ProvenEntry(
            entry, lines[place], edge.size + place, checkpoint.size, prover.path(edge.size + place)
        )
        for place, entry in wanted.find(lines)
    ]


class Prover:
    """Proves that lines are in the tree that continues from an edge with them."""

    def __init__(self, edge: Edge, lines: Sequence[bytes]) -> None:
        self._first, self._size = edge.size, edge.size + len(lines)
        self._leaves = [leaf_hash(line) for line in lines]
        self._full: dict[tuple[int, int], bytes] = {}
        start = 0
        for found in edge.hashes:  # the largest first
            width = 1 << ((edge.size - start).bit_length() - 1)
            self._full[start, start + width] = found
            start += width
        self._root = cache(self._compute_root)

    def path(self, index: int) -> tuple[bytes, ...]:
        """Return the hashes beside the way from a line to the root, the lowest first."""
        path: list[bytes] = []
        low, high = 0, self._size
        while high - low > 1:
            middle = low + _left_width(high - low)
            if index < middle:
                path.append(self._root(middle, high))
                high = middle
            else:
                path.append(self._root(low, middle))
                low = middle
        return tuple(reversed(path))

    def _compute_root(self, low: int, high: int) -> bytes:
        if (found := self._full.get((low, high))) is not None:
            return found
        if high - low == 1:
            return self._leaves[low - self._first]
        middle = low + _left_width(high - low)
        return node_hash(self._root(low, middle), self._root(middle, high))


def _left_width(width: int) -> int:
    """Return the largest power of two that is smaller than a width of at least 2."""
    return 1 << ((width - 1).bit_length() - 1)
