"""The journal: what Redis holds, kept in storage, so that storage alone can restore it.

    journal/{installation}/{epoch}/00000000.gz    all records
    journal/{installation}/{epoch}/00000001.gz    what changed since, and so on

One worker writes it in the background, so no request waits for it. Each object is a state of Redis
between two commands: what a transaction wrote together is in the journal together. A key that was
removed, such as that of a revoked key or of a deleted alias, is noted as removed. An epoch begins
with all records, and ends when changes may have been missed, as after a lost connection, when it
has grown long, or when something was deleted that must be found nowhere
(core/redis/rewriting.py). The epoch before it is then removed.

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
from service.core import ids, metrics
from service.core.leases import run_as_leader
from service.core.records import PREFIX
from service.core.redis import Client, reply, rewriting, text
from service.core.storage import Storage, StorageError, StoredObject

log = logging.getLogger(__name__)

ROOM: Final = rewriting.JOURNAL
INSTALLATION: Final = f"{PREFIX}:installation"
JOURNALED_AT: Final = f"{PREFIX}:journaled-at"
"""The moment, in UTC seconds, until which the journal has everything."""

_FORMAT: Final = 1
_POLL_S: Final = 1.0
_PAUSE_S: Final = 10.0
_MOST_OBJECTS: Final = 1000
_MOST_AGE_S: Final = 24 * 3600.0
_KEPT_S: Final = 30 * 24 * 3600.0
_PLACE: Final = re.compile(
    rf"{ROOM}/(?P<installation>\w+)/(?P<epoch>[\w.]+-\w+)/(?P<number>\d{{8}})\.gz"
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
    """Writes the journal. Of all workers, one at a time does.

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
        """Write all records, then what changes, until the epoch is long, a rewrite is requested, or
        the event is set.

        Raises BackupError, StorageError and REDIS_ERRORS.
        """
        await self._redis.set(INSTALLATION, ids.random_part(), nx=True)
        installation = text(await reply(self._redis.get(INSTALLATION)) or "")
        began = time.monotonic()
        async with snapshot.tracking(self._redis_url) as tracked:
            epoch = _Epoch(self._redis, self._storage, tracked, f"{ROOM}/{installation}")
            await epoch.begin()
            written = time.monotonic()
            rests_until = written + rewriting.rest_s(written - began)
            while epoch.count < _MOST_OBJECTS and written - began < _MOST_AGE_S:
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
    def __init__(self, redis: Client, storage: Storage, tracked: Tracked, place: str) -> None:
        self._redis = redis
        self._storage = storage
        self._tracked = tracked
        self._place = place
        self._folder = ""
        self._requests = 0
        self.count = 0

    async def begin(self) -> None:
        """Write all records, then remove earlier epochs, and journals that are long unused."""
        await self._redis.set(rewriting.JOURNALED, -1, nx=True)
        self._requests = await rewriting.requests(self._redis)
        with tempfile.TemporaryFile() as spool:
            await self._tracked.read_all(records := Snapshot(spool))
            self._folder = f"{self._place}/{id_at(records.taken_at)}-{ids.random_part()[:8]}"
            await self._write(records)
        await self._prune()
        await self._redis.set(rewriting.JOURNALED, self._requests)

    async def is_outdated(self) -> bool:
        """Return whether a rewrite was requested since the epoch began."""
        return await rewriting.requests(self._redis) > self._requests

    async def is_due(self, is_time: bool) -> bool:
        """Return whether changes are to be written now."""
        changed = await self._tracked.changed()
        return is_time or any(_URGENT.match(key) for key in changed)

    async def write_changes(self) -> None:
        """Write what changed since the last object."""
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
        for found in await self._storage.objects(ROOM):
            journals["/".join(found.key.split("/")[:2])].append(found)
        for place, objects in journals.items():
            if place == self._place:
                unused = [each for each in objects if not each.key.startswith(f"{self._folder}/")]
            else:
                newest = max(each.written_at for each in objects)
                unused = objects if newest < ids.now_s() - _KEPT_S else []
            for each in unused:
                await self._storage.delete(each.key)


def _with_head(records: Snapshot) -> Iterator[Saved]:
    head = Head(records.taken_at, __version__, records.server)
    yield Saved(b"", -1, msgspec.json.encode(head))
    yield from (saved for saved in records if not _LEFT_OUT.match(saved.key))


class Found(msgspec.Struct, frozen=True):
    """A journal in storage: the objects of its newest epoch, in their order."""

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
            yield _head(path, key), itertools.islice(_readable(path, key), 1, None)


async def find(storage: Storage) -> list[Found]:
    """Return the journals in storage, of which the last one was written last.

    Raises StorageError.
    """
    epochs: dict[tuple[str, str], dict[int, tuple[str, int]]] = {}
    for found in await storage.objects(ROOM):
        if place := _PLACE.fullmatch(found.key):
            objects = epochs.setdefault((place["installation"], place["epoch"]), {})
            objects[int(place["number"])] = (found.key, found.written_at)
    journals: dict[str, Found] = {}
    for (installation, _), objects in sorted(epochs.items()):
        if 0 in objects:  # else its first object was not written, or is already removed
            numbers = itertools.takewhile(objects.__contains__, itertools.count())
            keys, times = zip(*(objects[number] for number in numbers), strict=True)
            journals[installation] = Found(installation, list(keys), max(times))
    return sorted(journals.values(), key=lambda journal: journal.written_at)


def _head(path: Path, key: str) -> Head:
    for saved in _readable(path, key):
        try:
            head = msgspec.json.decode(saved.value, type=Head)
        except msgspec.DecodeError as e:
            raise Damaged(f"{key} is damaged: it cannot be read") from e
        if head.format != _FORMAT:
            raise BackupError(f"{key} is of version {head.version}: rebuild with that version")
        return head
    raise Damaged(f"{key} is damaged: it is empty")


def _readable(path: Path, key: str) -> Iterator[Saved]:
    try:
        yield from contents.read_records(path)
    except (OSError, EOFError, struct.error, zlib.error) as e:
        raise Damaged(f"{key} is damaged: {type(e).__name__}") from e


def not_of_journal(key: str) -> bool:
    """Return whether an object in storage is not a part of a journal."""
    return not key.startswith(f"{ROOM}/")


BACKED_UP_AT: Final = f"{PREFIX}:backed-up-at"


async def observe_backups(redis: Client, *, journals: bool) -> None:
    """Set the gauges. That of the journal is absent if the journal is turned off."""
    backed_up, journaled = await redis.mget(BACKED_UP_AT, JOURNALED_AT)
    for gauge, moment in (
        (metrics.BACKUP_TIMESTAMP_SECONDS, backed_up),
        (metrics.JOURNAL_TIMESTAMP_SECONDS, journaled if journals else None),
    ):
        gauge.clear()
        if moment is not None:
            gauge.cell().set(float(moment))
