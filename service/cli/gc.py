"""`gc`: removes objects in storage that no record refers to.

Workers remove what deletions and killed processes leave, by notes in Redis. This finds the rest by
comparing all of storage with all records: what older versions left, for example. What `rebuild`
could restore stays: after a loss of Redis, that is everything of value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from service.batches.records import Batches
from service.core import ids
from service.core.records import Unreadable
from service.core.redis import Client
from service.core.storage import MANIFEST, Storage, StoredObject
from service.evals.records import Evals
from service.exports.records import Exports
from service.files.records import Files
from service.files.stored_chats.records import Captures
from service.files.uploads.records import Uploads
from service.generation.records import Generations
from service.jobs.leftovers import folder_of, served_by
from service.jobs.records import FINAL, Jobs
from service.projects.records import Projects

Reader = Callable[[str, str], Awaitable[object | None]]


@dataclass
class Garbage:
    """The folders that no record refers to, with their objects, and what was left alone."""

    folders: dict[str, list[StoredObject]] = field(default_factory=dict)
    projects_without_record: set[str] = field(default_factory=set)
    restorable: int = 0

    @property
    def size(self) -> int:
        """The total size in bytes."""
        return sum(found.size for objects in self.folders.values() for found in objects)


class Collector:
    """Compares storage with the records."""

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
            "captures": Captures(redis, storage).records.get,
        }

    async def find(self, *, older_than_s: int) -> Garbage:
        """Find the folders all of whose objects are older than this. Raises StorageError."""
        latest = ids.now_s() - older_than_s
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
        """Remove what was found. Raises StorageError."""
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
        """The folders of a job that has ended, without its adapters.

        The record of a job that is unknown may have been lost, so its adapters stay.
        """
        try:
            job = await self._jobs.get(project_id, job_id)
        except Unreadable:
            return []
        if job is None or job.status not in FINAL:
            return []
        served = await served_by(self._jobs, job)
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
