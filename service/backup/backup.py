"""`backup`: copies records and objects to a target while the service runs.

**Guarantee.** All records are as of one point in time, `taken_at` (see snapshot.py). Every object
that a record referred to at that time is in the backup with its bytes, because bytes are written
and synced before their record, and because objects are listed and copied before that time and once
more after it. There are two exceptions. An object that was written during the last pass before
`taken_at` and deleted within seconds after it may be missing; `restore` then removes its record, as
the deletion did. An object that is overwritten, such as the report of an evaluation that runs
again, may be a later version.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from service import __version__
from service.backup import contents, snapshot
from service.backup.contents import BackupError, BackupManifest, Damaged, SavedObject
from service.backup.journal import BACKED_UP_AT, is_journal_object
from service.backup.snapshot import Snapshot
from service.backup.target import Target, id_at
from service.core.leases import Held, lead
from service.core.records import PREFIX
from service.core.redis import Client
from service.core.storage import Storage, StorageMissing, StoredObject
from service.core.storage.writer import PART_BYTES

log = logging.getLogger(__name__)
_LEASE_S: Final = 30.0  # lists are compressed in the event loop
_MAX_PASSES: Final = 5
_MAX_TRIES: Final = 3
_FEW_NEW: Final = 100  # objects that are copied within seconds
_FOLDERS_WITH_RECORDS: Final = frozenset(
    {"batches", "evals", "exports", "files", "generations", "jobs", "uploads"}
)
T = TypeVar("T")
Check = Callable[[], None]
_OBJECTS_AT_ONCE: Final = 8  # a small object is held in memory: 64 MiB in total


@dataclass(frozen=True)
class Done:
    """A finished backup. The counts of copied objects and bytes are those of this run."""

    manifest: BackupManifest
    copied_objects: int
    copied_bytes: int
    paused_s: float
    removed_backups: int
    removed_objects: int


async def back_up(
    redis: Client, redis_url: str, storage: Storage, target: Target, *, keep: int | None
) -> Done:
    """Make a backup, then remove all but the newest `keep`.

    Raises BackupError, StorageError and REDIS_ERRORS. Then the target has no new backup, but keeps
    the copied objects.
    """
    with tempfile.TemporaryDirectory(prefix="finetuned-backup-") as folder:
        async with _exclusive(redis) as check:
            run = _Backup(redis_url, storage, target, Path(folder))
            manifest = await run.make(check)
            await redis.set(BACKED_UP_AT, manifest.taken_at)
            removed = (0, 0) if keep is None else await target.prune(keep, Path(folder))
    return Done(
        manifest,
        run.copier.copied["objects"],
        run.copier.copied["bytes"],
        run.paused_s,
        *removed,
    )


@contextlib.asynccontextmanager
async def _exclusive(redis: Client) -> AsyncIterator[Check]:
    """Hold the lease of backups. Yields a function that raises BackupError if it was lost."""
    try:
        async with lead(redis, "backup", lease_s=_LEASE_S) as lost:

            def check() -> None:
                if lost.is_set():
                    raise BackupError("another backup took over: let it finish")

            yield check
    except Held as e:
        raise BackupError(
            f"another backup is running. If it was killed, try again in {_LEASE_S:.0f} s"
        ) from e


class _Backup:
    copier: Copier

    def __init__(self, redis_url: str, storage: Storage, target: Target, folder: Path) -> None:
        self._redis_url = redis_url
        self._storage = storage
        self._target = target
        self._folder = folder
        self.paused_s = 0.0

    async def make(self, check: Check) -> BackupManifest:
        known = await self._known()
        self.copier = Copier(self._storage, self._target, known, await self._target.sizes())
        before = await self._copy_most()
        with tempfile.TemporaryFile(dir=self._folder) as spool:
            records = await snapshot.take(self._redis_url, spool)
            self.paused_s = records.paused_s
            after = await self._objects()
            await self.copier.copy(after.values())
            objects = [*self._referenced(records, before.keys(), after.keys())]
            return await self._write(records, objects, check)

    async def _known(self) -> dict[str, SavedObject]:
        """Return the objects of the newest backup, which need not be read again."""
        if not (found := await self._target.ids()):
            return {}
        try:
            newest = await self._target.manifest(found[-1])
            objects = await self._target.objects_of(newest, self._folder)
        except Damaged as e:
            log.warning("%s. All objects are read again", e)
            return {}
        return {saved.key: saved for saved in objects}

    async def _copy_most(self) -> dict[str, StoredObject]:
        """Copy all objects, then the new ones, until a pass finds few. Returns the last pass."""
        seen: set[tuple[str, str]] = set()
        for _ in range(_MAX_PASSES):
            found = await self._objects()
            versions = {(each.key, each.tag) for each in found.values()}
            await self.copier.copy(found.values())
            if len(versions - seen) <= _FEW_NEW:
                break
            seen = versions
        return found

    async def _objects(self) -> dict[str, StoredObject]:
        found = await self._storage.objects()
        return {each.key: each for each in found if not is_journal_object(each.key)}

    def _referenced(
        self, records: Snapshot, before: AbstractSet[str], after: AbstractSet[str]
    ) -> Iterator[SavedObject]:
        """Yield the objects of the backup, in the order of their keys.

        Objects that were added or deleted around the snapshot belong to it if their record does.
        """
        for key in sorted(before | after):
            if (saved := self.copier.saved.get(key)) is None:
                continue  # deleted before it was copied
            if (key in before and key in after) or _has_record(records, key):
                yield saved

    async def _write(
        self, records: Snapshot, objects: list[SavedObject], check: Check
    ) -> BackupManifest:
        backup_id = id_at(records.taken_at)
        if backup_id in await self._target.ids():
            raise BackupError(f"{self._target.place} has a backup of this time: run it again")
        record_file, object_file = self._folder / contents.RECORDS, self._folder / contents.OBJECTS
        manifest = BackupManifest(
            id=backup_id,
            taken_at=records.taken_at,
            version=__version__,
            server=records.server,
            records=contents.write_records(record_file, records),
            objects=contents.write_objects(object_file, objects),
            size=sum(saved.size for saved in objects),
        )
        await self._target.put(backup_id, contents.RECORDS, record_file)
        await self._target.put(backup_id, contents.OBJECTS, object_file)
        check()
        await self._target.complete(manifest)
        return manifest


async def for_each(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Process items concurrently. The first error cancels the rest and is raised."""
    waiting = iter(items)

    async def take() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_OBJECTS_AT_ONCE):
                group.create_task(take())
    except ExceptionGroup as e:
        raise e.exceptions[0] from None


class Copier:
    """Copies objects from storage to the target.

    `known` are the objects of the previous backup, by key. `present` are the sizes of the objects
    in the target, by digest. `copied` counts objects and bytes.
    """

    def __init__(
        self,
        storage: Storage,
        target: Target,
        known: dict[str, SavedObject],
        present: dict[str, int],
    ) -> None:
        self._storage = storage
        self._target = target
        self._present = present
        self.saved = known
        self.copied: Counter[str] = Counter()

    async def copy(self, objects: Iterable[StoredObject]) -> None:
        """Copy objects whose current version is not in the target.

        Skips objects that are deleted while it runs. Raises BackupError and StorageError.
        """
        await for_each([found for found in objects if not self._is_saved(found)], self._copy)

    def _is_saved(self, found: StoredObject) -> bool:
        saved = self.saved.get(found.key)
        return (
            saved is not None
            and found.tag == saved.tag != ""
            and self._present.get(saved.sha256) == found.size == saved.size
        )

    async def _copy(self, found: StoredObject) -> None:
        try:
            saved = await (
                self._copy_small(found) if found.size <= PART_BYTES else self._copy_large(found)
            )
        except StorageMissing:
            return
        self.saved[found.key] = saved

    async def _copy_small(self, found: StoredObject) -> SavedObject:
        data = await self._storage.get_bytes(found.key)
        digest = hashlib.sha256(data).hexdigest()
        if self._present.get(digest) != len(data):
            await self._target.put_object(digest, data)
            self._note(digest, len(data))
        return SavedObject(key=found.key, size=len(data), sha256=digest, tag=found.tag)

    async def _copy_large(self, found: StoredObject) -> SavedObject:
        """Read the object twice: first for its digest, which names it in the target."""
        for _ in range(_MAX_TRIES):
            digest = await self._digest(found.key)
            if self._present.get(digest) == found.size or await self._stream(found.key, digest):
                now = await self._storage.stat(found.key)
                if now.tag == found.tag:
                    self._note(digest, found.size)
                    return SavedObject(found.key, found.size, digest, found.tag)
            found = await self._storage.stat(found.key)
        raise BackupError(f"{found.key} changes while it is read: run the backup again")

    async def _digest(self, key: str) -> str:
        digest = hashlib.sha256()
        async for chunk in await self._storage.stream(key):
            await asyncio.to_thread(digest.update, chunk)
        return digest.hexdigest()

    async def _stream(self, key: str, expected: str) -> bool:
        """Copy an object. Returns False, and writes nothing, if it no longer has the digest."""
        digest = hashlib.sha256()

        async def read() -> AsyncIterator[bytes]:
            async for chunk in await self._storage.stream(key):
                await asyncio.to_thread(digest.update, chunk)
                yield chunk
            if digest.hexdigest() != expected:
                raise _Changed

        try:
            await self._target.write_object(expected, read())
        except _Changed:
            return False
        return True

    def _note(self, digest: str, size: int) -> None:
        if self._present.get(digest) != size:
            self._present[digest] = size
            self.copied["objects"] += 1
            self.copied["bytes"] += size


class _Changed(Exception):
    """An object was overwritten between two reads."""


def _has_record(records: Snapshot, key: str) -> bool:
    """Return whether the snapshot has the record that an object belongs to, or it is unknown."""
    project_id, _, rest = key.partition("/")
    folder, _, rest = rest.partition("/")
    subject_id = rest.partition("/")[0]
    if folder not in _FOLDERS_WITH_RECORDS:
        return True
    return f"{PREFIX}:{project_id}:{folder}:{subject_id}" in records
