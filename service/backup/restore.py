"""`restore`: writes a backup into an empty Redis and an empty storage.

Objects are written first, then records. A mark in Redis names the backup that is being restored,
from before the first object until after the last record:

    finetuned:restoring    the ID of the backup

While it exists, the API and workers do not start, and only the same backup can be restored. An
interrupted restore can be repeated, and skips the objects that are already written.
"""

from __future__ import annotations

import itertools
import logging
import re
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redis.exceptions import ResponseError

from service.backup import contents
from service.backup.backup import for_each
from service.backup.contents import BackupError, BackupManifest, Damaged, Saved, SavedObject
from service.backup.journal import INSTALLATION, is_journal_object
from service.backup.snapshot import DROPPED, is_ephemeral
from service.backup.target import Target
from service.core import startup_checks
from service.core.records import PREFIX
from service.core.redis import Client, batched, processes, reply, text
from service.core.startup_checks import RESTORING, how_to_finish_restore
from service.core.storage import MANIFEST, Storage
from service.exports.records import Exports
from service.files.records import Files
from service.models.catalogue import Catalogue
from service.models.registry import ModelInUse, ModelRegistry

log = logging.getLogger(__name__)
_READ_AT_ONCE: Final = 500
_SUBJECT: Final = re.compile(
    rf"{PREFIX}:(?P<project>[^:]+):(?P<collection>exports|files|models):(?P<id>[^:]+|ft:.+)"
)


_RECORDS_AT_ONCE: Final = 500
_SCANNED_AT_ONCE: Final = 1000
_PROBE: Final = f"{RESTORING}:probe"
# Written by each process that starts on this Redis: the version of the data, and its ID.
_WITHOUT_RECORDS: Final = frozenset(
    {startup_checks.DATA_VERSION_KEY.encode(), INSTALLATION.encode()}
)
_WORKER: Final = f"{PREFIX}:worker-alive:"


class NotEmpty(BackupError):
    """Redis has records."""


class InUse(BackupError):
    """Redis is empty, but processes of the service run on it."""


@dataclass(frozen=True)
class Restored:
    """The restored backup, and the IDs of records that were removed for lack of their bytes."""

    manifest: BackupManifest
    removed: list[str]


async def check(target: Target, at: str | None) -> BackupManifest:
    """Read a whole backup and compare all digests. Raises Damaged, which lists every fault."""
    with tempfile.TemporaryDirectory(prefix="finetuned-restore-") as folder:
        manifest, objects = await _fetch(target, at, Path(folder))
    damages: list[str] = []

    async def read(digest: str) -> None:
        try:
            async for _ in target.read(digest):
                pass
        except Damaged as e:
            damages.append(str(e))

    await for_each(sorted({saved.sha256 for saved in objects}), read)
    _raise(damages)
    return manifest


async def restore(
    redis: Client,
    storage: Storage,
    catalogue: Catalogue,
    target: Target,
    *,
    at: str | None,
    only_records: bool = False,
    finish: Callable[[BackupManifest], Awaitable[object]] | None = None,
) -> Restored:
    """Restore the newest backup, or the newest at or before a time.

    With `only_records`, storage keeps its objects: those of the installation that lost its Redis.
    `finish` runs before the service may start. The records that it adds are kept.

    Raises BackupError, StorageError and REDIS_ERRORS. Nothing was written if Redis or storage is
    not empty, and no record if the backup is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="finetuned-restore-") as folder:
        manifest, objects = await _fetch(target, at, Path(folder))
        records = Path(folder) / contents.RECORDS
        is_repeated = await is_interrupted(redis, manifest.id)
        present = {
            found.key: found.size
            for found in await storage.objects()
            if not is_journal_object(found.key)
        }
        if only_records:
            _require_own(present.keys(), objects)
        elif present and not is_repeated:
            raise BackupError(
                "the storage is not empty, and restoring would mix two installations. Give it an "
                "empty folder or prefix (FINETUNED_STORAGE_URL), or delete what is in this one. If "
                "only Redis was lost, use --only-records, which keeps the storage"
            )
        await mark_started(redis, manifest.id, is_repeated=is_repeated)
        await _probe(redis, manifest, records)
        if not only_records:
            await _write_objects(target, storage, present, objects)
        await write_records(redis, manifest.server, contents.read_records(records))
        names = [saved.key.decode() for saved in contents.read_records(records)]
    stored = present.keys() if only_records else {saved.key for saved in objects}
    removed = await Orphans(redis, storage, catalogue, stored).remove(names)
    if finish:
        await finish(manifest)
    await redis.delete(RESTORING)
    return Restored(manifest, removed)


async def _fetch(
    target: Target, at: str | None, folder: Path
) -> tuple[BackupManifest, list[SavedObject]]:
    manifest = await target.find(at)
    await target.fetch(manifest.id, contents.RECORDS, manifest.records, folder / contents.RECORDS)
    return manifest, await target.objects_of(manifest, folder)


async def is_interrupted(redis: Client, mark: str) -> bool:
    """Return whether this restore was interrupted before, according to its mark in Redis.

    Without the mark, raises NotEmpty if Redis has records. Raises InUse if the API or a worker runs
    on it.
    """
    running = await processes(redis)
    restoring = await reply(redis.get(RESTORING))
    if restoring is not None:
        if text(restoring) != mark:
            raise BackupError(
                f"{how_to_finish_restore(text(restoring))}, or empty Redis and storage first"
            )
        _require_stopped(running)
        return True
    async for key in redis.scan_iter(f"{PREFIX}:*", count=_SCANNED_AT_ONCE):
        if key.startswith(_WORKER.encode()):
            running.add("worker")
        elif not is_ephemeral(key) and key not in _WITHOUT_RECORDS:
            raise NotEmpty(
                "Redis is not empty, and restoring would mix two installations. Give it an empty "
                "database (FINETUNED_REDIS_URL), or delete the data in this one with FLUSHDB"
            )
    _require_stopped(running)
    return False


async def require_alone(redis: Client) -> None:
    """Raise InUse if the API or a worker runs on this Redis."""
    running = await processes(redis)
    async for _ in redis.scan_iter(f"{_WORKER}*", count=_SCANNED_AT_ONCE):
        running.add("worker")
    _require_stopped(running)


def _require_stopped(running: AbstractSet[str]) -> None:
    """Raise InUse if processes are running that would write records during the restore."""
    if found := sorted(running & {"api", "worker"}):
        raise InUse(
            f"processes are running on this Redis ({', '.join(found)}): stop the API and all "
            "workers first"
        )


async def mark_started(redis: Client, mark: str, *, is_repeated: bool) -> None:
    """Set the mark, and remove the records of an interrupted restore.

    It may have registered files that are not in the lists of the backup.
    """
    await redis.set(RESTORING, mark)
    if is_repeated:
        async for key in redis.scan_iter(f"{PREFIX}:*", count=_SCANNED_AT_ONCE):
            if not is_ephemeral(key):
                await redis.unlink(key)


def _require_own(present: AbstractSet[str], objects: list[SavedObject]) -> None:
    """Raise BackupError if storage has no object of the installation that was backed up."""
    if objects and not any(saved.key in present for saved in objects):
        raise BackupError(
            "the storage has none of the objects that the records refer to: check "
            "FINETUNED_STORAGE_URL, or restore the objects too, without --only-records"
        )


async def _probe(redis: Client, manifest: BackupManifest, records: Path) -> None:
    """Raise BackupError if this Redis cannot read the backup's records."""
    for saved in contents.read_records(records):
        await put(redis, manifest.server, [Saved(_PROBE.encode(), -1, saved.value)])
        await redis.delete(_PROBE)
        return


async def _write_objects(
    target: Target, storage: Storage, present: dict[str, int], objects: list[SavedObject]
) -> None:
    missing = [saved for saved in objects if present.get(saved.key) != saved.size]
    damages: list[str] = []

    async def write(saved: SavedObject) -> None:
        try:
            async with await storage.writer(saved.key) as writer:
                async for chunk in target.read(saved.sha256):
                    await writer.write(chunk)
        except Damaged as e:
            damages.append(f"{e} (of {saved.key})")

    await for_each(missing, write)
    _raise(damages)


def _raise(damages: list[str]) -> None:
    if damages:
        raise Damaged(
            "; ".join(sorted(damages))
            + ". Restore an earlier backup with --at, or another copy of "
            "this one. If the storage that was backed up still has the objects, delete the damaged "
            "ones: the next backup copies them again"
        )


async def write_records(redis: Client, server: str, records: Iterable[Saved]) -> None:
    """Write records that `server` wrote, and remove dropped ones. Raises BackupError."""
    iterator = iter(records)
    while batch := [*itertools.islice(iterator, _RECORDS_AT_ONCE)]:
        await put(redis, server, batch)


async def put(redis: Client, server: str, records: Sequence[Saved]) -> None:
    """Write records in one round trip. Raises BackupError."""
    async with redis.pipeline(transaction=False) as pipe:
        for saved in records:
            if saved.expires_at_ms == DROPPED:
                pipe.delete(saved.key)
                continue
            expires_at_ms = max(saved.expires_at_ms, 0)  # 0: never
            pipe.restore(saved.key, expires_at_ms, saved.value, replace=True, absttl=True)
        try:
            await pipe.execute()
        except ResponseError as e:
            raise BackupError(
                f"Redis cannot read the records, which {server} wrote: restore into that version "
                f"or a later one. Redis says: {e}"
            ) from e


class Orphans:
    """Removes records whose objects are missing. `stored` are the keys of all objects."""

    def __init__(
        self, redis: Client, storage: Storage, catalogue: Catalogue, stored: AbstractSet[str]
    ) -> None:
        self._keys = stored
        self._files = Files(redis, storage)
        self._registry = ModelRegistry(redis, catalogue, cache_s=0)
        self._exports = Exports(redis)

    async def remove(self, names: Iterable[str]) -> list[str]:
        """Delete the orphans among records, given by their Redis keys, and return their IDs.

        Records that only a newer version can read are kept.
        """
        ids: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name in names:
            if place := _SUBJECT.fullmatch(name):
                ids[place["collection"], place["project"]].append(place["id"])
        removed = []
        for (collection, project_id), of_project in ids.items():
            for batch in batched(of_project, _READ_AT_ONCE):
                removed += await self._remove(collection, project_id, batch)
        return removed

    async def _remove(self, collection: str, project_id: str, ids: Sequence[str]) -> list[str]:
        match collection:
            case "files":
                return await self._remove_files(project_id, ids)
            case "models":
                return await self._remove_models(project_id, ids)
        return await self._remove_exports(project_id, ids)

    async def _remove_files(self, project_id: str, ids: Sequence[str]) -> list[str]:
        files = await self._files.records.get_many(project_id, ids)
        lost = [file for file in files if f"{file.folder}/{MANIFEST}" not in self._keys]
        for file in lost:
            await self._files.delete(file)
        return [file.id for file in lost]

    async def _remove_models(self, project_id: str, names: Sequence[str]) -> list[str]:
        removed = []
        for model in await self._registry.models.get_many(project_id, names):
            if f"{model.artifact}/{MANIFEST}" in self._keys:
                continue
            try:
                await self._registry.delete(project_id, model.id)
            except ModelInUse as e:
                log.warning("the bytes of %s are missing, but it is in use: %s", model.id, e)
            else:
                removed.append(model.id)
        return removed

    async def _remove_exports(self, project_id: str, ids: Sequence[str]) -> list[str]:
        exports = await self._exports.records.get_many(project_id, ids)
        lost = [e for e in exports if e.key is not None and e.key not in self._keys]
        for export in lost:
            await self._exports.delete(export)
        return [export.id for export in lost]
