"""Removes garbage from storage, encrypts objects, and rotates the master key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from service.backup.restore import require_alone
from service.batches.records import Batches
from service.cli.connections import (
    open_or_start_redis,
    open_redis,
    open_stopped,
    open_storage,
    record_command,
    storage_url,
)
from service.config import Settings
from service.core import clock, ids
from service.core.encryption.keyring import FOLDER, owner_of
from service.core.encryption.master import MasterKeyError
from service.core.records import Unreadable
from service.core.redis import Client
from service.core.storage import MANIFEST, Storage, StoredObject
from service.evals.records import Evals
from service.exports.records import Exports
from service.files.records import Files
from service.files.stored_chats.records import StoredChats
from service.files.uploads.records import Uploads
from service.generation.records import Generations
from service.jobs.checkpoints import adapters_of, folder_of
from service.jobs.records import Jobs
from service.projects.records import Projects
from service.web.audit_events import AuditEvent

Reader = Callable[[str, str], Awaitable[object | None]]
_REPORT_EVERY: Final = 1000
_CHECK_EVERY: Final = 100  # objects between checks for processes that have started
_PATIENCE_S: Final = 60.0
_NO_KEY: Final = (
    "no master key is set: make one with 'finetuned-server new-master-key', and set "
    "FINETUNED_ENCRYPTION_KEY_FILE"
)


async def gc(data_dir: Path | None, *, dry_run: bool, older_than_s: int) -> Iterator[str]:
    """Remove unreferenced folders from storage, and return lines for the operator."""
    async with open_redis(data_dir) as redis:
        collector = GarbageCollector(redis, Storage.from_url(storage_url(data_dir)))
        garbage = await collector.find(older_than_s=older_than_s)
        if not dry_run:
            async with record_command(redis, AuditEvent.GARBAGE_REMOVED) as details:
                details.objects = tuple(garbage.folders)
                details.counts = {"folders": len(garbage.folders), "bytes": garbage.size}
                await collector.remove(garbage)
    return _lines(garbage, "would remove" if dry_run else "removed")


def _lines(garbage: Garbage, verb: str) -> Iterator[str]:
    for folder, objects in garbage.folders.items():
        size = sum(found.size for found in objects)
        yield f"{verb} {folder}: {len(objects)} objects, {size:,} bytes"
    yield f"{verb} {len(garbage.folders)} folders with {garbage.size:,} bytes in total"
    if garbage.restorable:
        yield f"kept {garbage.restorable} files without a record, which 'rebuild' can restore"
    for project_id in sorted(garbage.projects_without_record):
        yield f"kept everything of {project_id}, which has no record: run 'rebuild' first"


@dataclass
class Garbage:
    """Unreferenced folders to remove, and a count of objects that are kept."""

    folders: dict[str, list[StoredObject]] = field(default_factory=dict)
    projects_without_record: set[str] = field(default_factory=set)
    restorable: int = 0

    @property
    def size(self) -> int:
        """The total size in bytes."""
        return sum(found.size for objects in self.folders.values() for found in objects)


class GarbageCollector:
    """Finds and removes folders in storage that no record refers to."""

    def __init__(self, redis: Client, storage: Storage) -> None:
        self._storage = storage
        files = Files(redis, storage)
        self._projects = Projects(redis)
        self._jobs = Jobs(redis)
        self._readers: dict[str, Reader] = {
            "files": files.records.get,
            "uploads": Uploads(redis, files).records.get,
            "evals": Evals(redis).evals.get,
            "exports": Exports(redis).records.get,
            "batches": Batches(files).records.get,
            "generations": Generations(files).records.get,
            "captures": StoredChats(redis, storage).records.get,
        }

    async def find(self, *, older_than_s: int) -> Garbage:
        """Find unreferenced folders with only objects older than this. Raises StorageError."""
        latest = clock.now_s() - older_than_s
        garbage = Garbage()
        for (project_id, room, subject_id), objects in _by_subject(await self._storage.objects()):
            if not await _exists(self._project, project_id, project_id):
                garbage.projects_without_record.add(project_id)
                continue
            for folder, found in await self._unreferenced(project_id, room, subject_id, objects):
                if max(each.written_at for each in found) > latest:
                    continue
                if room != "jobs" and f"{folder}/{MANIFEST}" in {each.key for each in found}:
                    garbage.restorable += 1
                else:
                    garbage.folders[folder] = found
        return garbage

    async def remove(self, garbage: Garbage) -> None:
        """Remove the folders that were found. Raises StorageError."""
        for folder in garbage.folders:
            await self._storage.delete_prefix(folder)

    async def _project(self, project_id: str, _: str) -> object | None:
        return await self._projects.get(project_id)

    async def _unreferenced(
        self, project_id: str, room: str, subject_id: str, objects: list[StoredObject]
    ) -> list[tuple[str, list[StoredObject]]]:
        if room == "jobs":
            return await self._of_job(project_id, subject_id, objects)
        read = self._readers.get(room)
        if read is None or await _exists(read, project_id, subject_id):
            return []
        return [(f"{project_id}/{room}/{subject_id}", objects)]

    async def _of_job(
        self, project_id: str, job_id: str, objects: list[StoredObject]
    ) -> list[tuple[str, list[StoredObject]]]:
        """Return the folders of a job that has ended, without its adapters.

        The record of a job that is unknown may have been lost, so its adapters stay.
        """
        try:
            job = await self._jobs.get(project_id, job_id)
        except Unreadable:
            return []
        if job is None or not job.is_final:
            return []
        served = await adapters_of(self._jobs, job)
        folders: dict[str, list[StoredObject]] = defaultdict(list)
        for found in objects:
            folder = folder_of(found.key)
            if folder is not None and folder not in served:
                folders[folder].append(found)
        return [*folders.items()]


async def _exists(read: Reader, project_id: str, record_id: str) -> bool:
    try:
        return await read(project_id, record_id) is not None
    except Unreadable:
        return True


def _by_subject(
    objects: list[StoredObject],
) -> Iterator[tuple[tuple[str, str, str], list[StoredObject]]]:
    """Group the objects by project, kind and ID. Keys of another form are not ours."""
    groups: dict[tuple[str, str, str], list[StoredObject]] = defaultdict(list)
    for found in objects:
        project_id, _, rest = found.key.partition("/")
        room, _, rest = rest.partition("/")
        subject_id = rest.partition("/")[0]
        if ids.is_valid(project_id, ids.PROJECT) and subject_id:
            groups[project_id, room, subject_id].append(found)
    yield from groups.items()


async def encrypt(data_dir: Path | None) -> AsyncIterator[str]:
    """Encrypt all objects that are not encrypted, and yield lines for the operator.

    Objects are rewritten in place, so a concurrent delete or write by another process could be
    undone. If it is interrupted, the next run continues.

    Raises InUse or AlreadyRunning while the API or a worker runs; StorageError; BackupError without
    Redis, and ValueError without a master key.
    """
    _require_key()
    done = seen = 0
    async with (
        open_stopped(data_dir) as redis,
        record_command(redis, AuditEvent.STORAGE_ENCRYPTED) as details,
    ):
        storage = open_storage(data_dir, patience_s=_PATIENCE_S)
        for key in await storage.keys(""):
            if owner_of(key) is None:
                continue
            if seen % _CHECK_EVERY == 0:
                await require_alone(redis)
            seen += 1
            if not await storage.is_encrypted(key):
                await storage.copy(key, key)
                done += 1
                details.counts["objects"] = done
            if seen % _REPORT_EVERY == 0:
                yield f"looked at {seen:,} objects, encrypted {done:,}"
    yield f"encrypted {done:,} of {seen:,} objects; the others were already"


async def rotate_master_key(data_dir: Path | None) -> AsyncIterator[str]:
    """Wrap all data keys with the first master key, and yield a line for the operator."""
    _require_key()
    async with (
        open_or_start_redis(data_dir) as redis,
        record_command(redis, AuditEvent.MASTER_KEY_ROTATED) as details,
    ):
        storage = open_storage(data_dir, patience_s=_PATIENCE_S)
        assert storage.keyring is not None  # there is a key
        keys = await storage.keys(f"{FOLDER}/")
        owners = [key.removeprefix(f"{FOLDER}/").removesuffix(".json") for key in keys]
        done = sum([await storage.rewrap(owner) for owner in owners])
        details.objects, details.counts = (storage.keyring.master.id,), {"keys": done}
    yield f"wrapped {done:,} of {len(owners):,} data keys with {storage.keyring.master.id}"


def _require_key() -> None:
    """Raise ValueError without a master key, before anything is started or made."""
    try:
        key = Settings().master_key()
    except MasterKeyError as e:
        raise ValueError(str(e)) from e
    if key is None:
        raise ValueError(_NO_KEY)
