"""Writes the journal: a copy of Redis in storage, from which a lost Redis can be restored.

    journal/{installation}/{epoch}/00000000.gz    all records
    journal/{installation}/{epoch}/00000001.gz    changes since then, and so on

One worker writes it in the background, so no request waits for it. Each object is a state of Redis
between two commands, so all writes of a transaction are in the same object. Removed Redis keys,
such as those of a revoked API key or a deleted alias, are noted as removed. An epoch begins with
all records. It ends when changes may have been missed, as after a lost connection, when it has
grown long, or when data was erased (core/redis/rewriting.py). The next one replaces it.

    finetuned:installation    the random ID of the data in this Redis

A Redis that lost its data gets another ID, so its journal does not replace the one before.

Webhook endpoints are left out: their signing secrets are in plain text, and engines may read the
storage.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import struct
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from service import __version__
from service.backup import contents, snapshot
from service.backup.contents import BackupError, Damaged, Saved
from service.backup.snapshot import Delta, Snapshot, Tracked
from service.backup.target import id_at
from service.core import clock, ids, metrics
from service.core.leases import run_as_leader
from service.core.records import PREFIX
from service.core.redis import Client, reply, rewriting, text
from service.core.storage import Storage, StorageError, StoredObject

log = logging.getLogger(__name__)

FOLDER: Final = rewriting.JOURNAL
INSTALLATION: Final = f"{PREFIX}:installation"
JOURNALED_AT: Final = f"{PREFIX}:journaled-at"
"""Redis key with the time, in UTC seconds, until which the journal is complete."""

_FORMAT: Final = 1
_POLL_S: Final = 1.0
_PAUSE_S: Final = 10.0
_MAX_OBJECTS: Final = 1000
_MAX_AGE_S: Final = 24 * 3600.0
_KEPT_S: Final = 30 * 24 * 3600.0
_KEY: Final = re.compile(
    rf"{FOLDER}/(?P<installation>\w+)/(?P<epoch>[\w.]+-\w+)/(?P<number>\d{{8}})\.gz"
)
_LEFT_OUT: Final = re.compile(
    rb"finetuned:(?:(?:proj_\w+:)?webhook|(?:signing|erasure-match)-key$)"
)
_URGENT: Final = re.compile(
    rb"finetuned:(?:[^:]+:(?:aliases|keys|models|projects)(?::|$)|(?:restricted-)?key-digests|model-owners$)"
)


class Head(msgspec.Struct, frozen=True):
    """The first record of an object in the journal."""

    taken_at: float
    version: str
    server: str
    format: int = _FORMAT


class Journal:
    """Writes the journal, in one worker at a time.

    Changes to keys, aliases, models and projects are written within about a second, all others
    within `every_s`.
    """

    def __init__(
        self,
        redis: Client,
        redis_url: str,
        storage: Storage,
        *,
        every_s: float,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._redis_url = redis_url
        self._storage = storage
        self._every_s = every_s
        self._on_round = on_round

    async def run(self) -> None:
        """Write until cancelled, in one process at a time. After an error, a new epoch begins."""
        pause_s = min(_PAUSE_S, self._every_s)
        await run_as_leader(
            self._redis, "journal", self._write, pause_s=pause_s, before_try=self._beat
        )

    async def _beat(self) -> None:
        self._on_round()

    async def _write(self, lost: asyncio.Event) -> None:
        try:
            while not lost.is_set():
                await self.write_epoch(until=lost)
        except (BackupError, StorageError) as e:
            log.warning("the journal is not written: %s", e)

    async def write_epoch(self, until: asyncio.Event) -> None:
        """Write all records, then changes, until the epoch is long, a rewrite is requested, or the
        event is set.

        Raises BackupError, StorageError and REDIS_ERRORS.
        """
        await self._redis.set(INSTALLATION, ids.random_part(), nx=True)
        installation = text(await reply(self._redis.get(INSTALLATION)) or "")
        began = time.monotonic()
        async with snapshot.tracking(self._redis_url) as tracked:
            epoch = _Epoch(self._redis, self._storage, tracked, f"{FOLDER}/{installation}")
            await epoch.begin()
            written = time.monotonic()
            rests_until = written + rewriting.rest_s(written - began)
            while epoch.count < _MAX_OBJECTS and written - began < _MAX_AGE_S:
                await asyncio.sleep(min(_POLL_S, self._every_s))
                self._on_round()
                if until.is_set():
                    return
                if time.monotonic() >= rests_until and await epoch.is_outdated():
                    return
                if await epoch.is_due(time.monotonic() - written >= self._every_s):
                    await epoch.write_changes()
                    written = time.monotonic()


class _Epoch:
    def __init__(self, redis: Client, storage: Storage, tracked: Tracked, prefix: str) -> None:
        self._redis = redis
        self._storage = storage
        self._tracked = tracked
        self._prefix = prefix
        self._folder = ""
        self._requests = 0
        self.count = 0

    async def begin(self) -> None:
        """Write all records, then remove earlier epochs and abandoned journals."""
        await self._redis.set(rewriting.JOURNALED, -1, nx=True)
        self._requests = await rewriting.requests(self._redis)
        with tempfile.TemporaryFile() as spool:
            await self._tracked.read_all(records := Snapshot(spool))
            self._folder = f"{self._prefix}/{id_at(records.taken_at)}-{ids.random_part()[:8]}"
            await self._write(records)
        await self._prune()
        await self._redis.set(rewriting.JOURNALED, self._requests)

    async def is_outdated(self) -> bool:
        """Return whether a rewrite was requested since the epoch began."""
        return await rewriting.requests(self._redis) > self._requests

    async def is_due(self, is_time: bool) -> bool:
        """Return whether to write changes now."""
        changed = await self._tracked.changed()
        return is_time or any(_URGENT.match(key) for key in changed)

    async def write_changes(self) -> None:
        """Write the changes since the last object."""
        with tempfile.TemporaryFile() as spool:
            await self._tracked.read_changed(records := Delta(spool))
            if len(records):
                await self._write(records)
            else:
                await self._note(records.taken_at)

    async def _write(self, records: Snapshot) -> None:
        with tempfile.TemporaryDirectory(prefix="finetuned-journal-") as folder:
            path = Path(folder) / "records.gz"
            await asyncio.to_thread(contents.write_records, path, _with_head(records))
            await self._storage.put_file(f"{self._folder}/{self.count:08}.gz", path)
        self.count += 1
        await self._note(records.taken_at)

    async def _note(self, taken_at: float) -> None:
        await self._redis.set(JOURNALED_AT, taken_at)

    async def _prune(self) -> None:
        journals: dict[str, list[StoredObject]] = defaultdict(list)
        for found in await self._storage.objects(FOLDER):
            journals["/".join(found.key.split("/")[:2])].append(found)
        for place, objects in journals.items():
            if place == self._prefix:
                unused = [each for each in objects if not each.key.startswith(f"{self._folder}/")]
            else:
                newest = max(each.written_at for each in objects)
                unused = objects if newest < clock.now_s() - _KEPT_S else []
            for each in unused:
                await self._storage.delete(each.key)


def _with_head(records: Snapshot) -> Iterator[Saved]:
    head = Head(records.taken_at, __version__, records.server)
    yield Saved(b"", -1, msgspec.json.encode(head))
    yield from (saved for saved in records if not _LEFT_OUT.match(saved.key))


class StoredJournal(msgspec.Struct, frozen=True):
    """A journal in storage: the keys of the objects of its newest epoch, in order."""

    installation: str
    keys: list[str]
    written_at: int

    async def read(
        self, storage: Storage, folder: Path
    ) -> AsyncIterator[tuple[Head, Iterator[Saved]]]:
        """Yield the first record and the other records of each object.

        Raises Damaged and StorageError.
        """
        for key in self.keys:
            path = folder / "journal.gz"
            await storage.get_file(key, path)
            yield _read_head(path, key), itertools.islice(_read_records(path, key), 1, None)


async def find(storage: Storage) -> list[StoredJournal]:
    """Return the journals in storage, the most recently written one last.

    Raises StorageError.
    """
    epochs: dict[tuple[str, str], dict[int, tuple[str, int]]] = {}
    for found in await storage.objects(FOLDER):
        if match := _KEY.fullmatch(found.key):
            objects = epochs.setdefault((match["installation"], match["epoch"]), {})
            objects[int(match["number"])] = (found.key, found.written_at)
    journals: dict[str, StoredJournal] = {}
    for (installation, _), objects in sorted(epochs.items()):
        if 0 in objects:  # otherwise, its first object was not written or is removed
            numbers = itertools.takewhile(objects.__contains__, itertools.count())
            keys, times = zip(*(objects[number] for number in numbers), strict=True)
            journals[installation] = StoredJournal(installation, list(keys), max(times))
    return sorted(journals.values(), key=lambda journal: journal.written_at)


def _read_head(path: Path, key: str) -> Head:
    for saved in _read_records(path, key):
        try:
            head = msgspec.json.decode(saved.value, type=Head)
        except msgspec.DecodeError as e:
            raise Damaged(f"{key} is damaged: it cannot be read") from e
        if head.format != _FORMAT:
            raise BackupError(f"{key} is of version {head.version}: rebuild with that version")
        return head
    raise Damaged(f"{key} is damaged: it is empty")


def _read_records(path: Path, key: str) -> Iterator[Saved]:
    try:
        yield from contents.read_records(path)
    except (OSError, EOFError, struct.error, zlib.error) as e:
        raise Damaged(f"{key} is damaged: {type(e).__name__}") from e


def is_journal_object(key: str) -> bool:
    """Return whether an object in storage is part of a journal."""
    return key.startswith(f"{FOLDER}/")


BACKED_UP_AT: Final = f"{PREFIX}:backed-up-at"


async def observe_backups(redis: Client, *, journals: bool) -> None:
    """Set the gauges of backups and the journal, which is absent if the journal is turned off."""
    backed_up, journaled = await redis.mget(BACKED_UP_AT, JOURNALED_AT)
    for gauge, at_s in (
        (metrics.BACKUP_TIMESTAMP_SECONDS, backed_up),
        (metrics.JOURNAL_TIMESTAMP_SECONDS, journaled if journals else None),
    ):
        gauge.clear()
        if at_s is not None:
            gauge.cell().set(float(at_s))
