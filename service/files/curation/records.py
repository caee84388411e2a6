"""Records of tasks on a file in Redis, such as reports and cleanings.

They are deleted with the file. The ID of a task that is requested by its options, such as a report,
is a digest of them, so that the same request finds the same task.

    finetuned:curation-swept    "project/file/task" of those whose output must be deleted
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any, Final, Self

import msgspec
from redis.asyncio.client import Pipeline

from service.core import clock, ids, outbox, queue
from service.core.claims import Claim
from service.core.leases import Leases
from service.core.outbox import Event
from service.core.records import PREFIX, Collection, Missing, Page
from service.core.redis import Client, reply, text
from service.core.storage import Storage
from service.files.records import FileRecord
from service.files.task_index import TaskIndex, tasks_of
from service.work.records import Kind, OperationRecord, RestartedRecord, WorkError
from service.work.store import WorkStore

TO_SWEEP: Final = f"{PREFIX}:curation-swept"
_RETRY_AFTER_S = 60  # a failed task restarts if it is requested this long after its failure


class TaskKind(StrEnum):
    """Kind of a task on a file."""

    REPORT = "report"
    PREVIEW = "preview"
    CLEANING = "cleaning"
    DIFF = "diff"
    MERGE = "merge"
    MEASURE = "measure"
    OVERLAP = "overlap"
    IMPORT = "import"


_EVENTS: Final = {
    TaskKind.REPORT: "dataset.report",
    TaskKind.PREVIEW: "dataset.preview",
    TaskKind.CLEANING: "dataset.cleaning",
    TaskKind.DIFF: "dataset.diff",
    TaskKind.MERGE: "dataset.merge",
    TaskKind.IMPORT: "model.import",
}
"""The beginnings of the types of events about the ends of tasks."""


class TaskState(StrEnum):
    """State of a task."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Task(OperationRecord, RestartedRecord):
    """A task on one file, such as a report, a cleaning or an import."""

    work = Kind(
        noun="task",
        collection="files",
        function="curate_file",
        lane=queue.CPU,
        id_prefix="",
        doing="worked on this file",
        interrupted="task_interrupted",
        unfinished="curation-unfinished",
    )
    final = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})
    failed = TaskState.FAILED
    cancelled = TaskState.CANCELLED
    status_field = "state"

    file_id: str
    kind: TaskKind
    key_id: str = ""  # the key that created it; empty in records of versions before 0.3
    options: dict[str, Any]
    state: TaskState = TaskState.IN_PROGRESS
    finished_at: int | None = None
    error: WorkError | None = None
    result: dict[str, Any] | None = None

    @property
    def parents(self) -> tuple[str, ...]:
        """The ID of the file."""
        return (self.file_id,)

    @property
    def folder(self) -> str:
        """The storage folder of the task's output, under the file's own folder."""
        return f"{self.project_id}/files/{self.file_id}/tasks/{self.id}"

    def next_attempt(self, **fields: Any) -> Self:
        """Return the record with its next attempt, which starts from the beginning."""
        cleared = {"state": TaskState.IN_PROGRESS, "error": None, "finished_at": None}
        return super().next_attempt(**cleared, **fields)

    def restart(self, **fields: Any) -> Self:
        """Return the record with the next attempt at a user's request."""
        return super().restart(started_at=None, result=None, **fields)

    def may_restart(self, now_s: int) -> bool:
        """Return whether the same request starts the task again."""
        if self.state is TaskState.FAILED:
            return (self.finished_at or 0) + _RETRY_AFTER_S < now_s
        return self.state is TaskState.CANCELLED


def task_on_request(
    kind: TaskKind, id_prefix: str, file: FileRecord, options: dict[str, Any], *seen: Any
) -> Task:
    """Return a task whose ID is a digest of the file, its meaning, and all else that it `seen`."""
    view = msgspec.json.encode([file.id, file.meaning, *seen], order="sorted")
    return Task(
        id=id_prefix + hashlib.sha256(view).hexdigest()[:32],
        project_id=file.project_id,
        created_at=clock.now_s(),
        file_id=file.id,
        kind=kind,
        options=options,
    )


class Tasks(WorkStore[Task]):
    """All tasks, by project and file."""

    record = Task

    def __init__(self, redis: Client) -> None:
        super().__init__(redis)
        self._index = TaskIndex(redis)

    def collection(self, *parents: str) -> Collection[Task]:
        """Return the tasks of one file."""
        return Collection(self.redis, tasks_of(*parents), Task)

    async def get(self, project_id: str, record_id: str) -> Task | None:
        """Return the project's task with this ID, or None."""
        file_id = await self._index.file_of(project_id, record_id)
        return (
            None if file_id is None else await self.collection(file_id).get(project_id, record_id)
        )

    async def page(
        self,
        project_id: str,
        id_prefix: str,
        *,
        after: str | None,
        limit: int,
        oldest_first: bool,
        where: Callable[[Task], bool],
    ) -> Page[Task]:
        """Return a page of the project's tasks whose IDs have a prefix. Raises Missing."""
        await self._index.add_missing(project_id)
        if after is not None:
            file_id = await self._index.file_of(project_id, after)
            if file_id is None:
                raise Missing(after)
            after = self._index.member(file_id, after)
        return await Collection(self.redis, "files", Task).page(
            project_id,
            after=after,
            limit=limit,
            oldest_first=oldest_first,
            where=where,
            index=self._index.key(project_id, id_prefix),
        )

    async def get_or_create(
        self, requested: Task, claim: Claim[Task] | None = None, *, is_lost: bool = False
    ) -> Task:
        """Return the task with this ID.

        It is created if it is new, and restarted if it was cancelled, has failed a while ago, or if
        its output `is_lost`. Raises ClaimLost.
        """
        tasks, now_s = self.collection(requested.file_id), clock.now_s()
        found = await tasks.get(requested.project_id, requested.id)
        if found is None:
            with suppress(ValueError):  # created by a concurrent request
                return await self.create(requested, claim)
            found = requested
        if claim is None and not found.may_restart(now_s):
            return found

        def change(current: Task) -> Task:
            if current.may_restart(now_s) or (is_lost and current.is_attempt_of(found)):
                current = current.restart()
            if requested.metadata is None:
                return current
            return current.model_copy(update={"metadata": requested.metadata})

        claim = claim or Claim()
        try:
            after = await self.change(found, change, claim.settle, check=claim.check)
        except Missing:  # deleted by a concurrent request
            return await self.create(requested, claim)
        if not after.is_final:
            with queue.left_to_the_reconciler():
                await self.enqueue(after)
        return after

    async def finish(
        self,
        task: Task,
        *,
        result: dict[str, Any] | None = None,
        also: Callable[[Pipeline], Any] = lambda _: None,
    ) -> None:
        """Complete the task, in one transaction with `also(pipe)`.

        Raises AttemptSuperseded, and Missing if the file was deleted. In both cases, nothing is
        written.
        """
        await self.change_own(
            task,
            lambda current: current.end(TaskState.COMPLETED, clock.now_s(), result=result),
            lambda pipe, _: also(pipe),
        )

    async def finish_stored(
        self, task: Task, storage: Storage, result: dict[str, Any] | None = None
    ) -> None:
        """Complete a task whose output is in its folder. `result` has its most important figures.

        Raises AttemptSuperseded, and Missing if the file was deleted. The output is then removed.
        """
        try:
            await self.finish(task, result=result)
        except Missing:  # the file may have been deleted before the output was stored
            await storage.delete_prefix(task.folder)
            raise

    async def leftovers(self, now_s: int) -> list[str]:
        """Return the members of cancelled and deleted tasks that may have left an output."""
        return sorted(text(member) for member in await reply(self.redis.smembers(TO_SWEEP)))

    async def clean_up(self, member: str, storage: Storage, leases: Leases) -> None:
        """Delete the output of a task that was cancelled or deleted, once its worker has stopped.

        Files that a cleaning or a merge made are not part of it.
        """
        project_id, file_id, task_id = member.split("/")
        if await leases.is_held(f"{file_id}/{task_id}"):
            return
        task = await self.collection(file_id).get(project_id, task_id)
        if task is None or task.state is TaskState.CANCELLED:
            await storage.delete_prefix(f"{project_id}/files/{file_id}/tasks/{task_id}")
        await reply(self.redis.srem(TO_SWEEP, member))

    def _on_created(self, pipe: Pipeline, record: Task) -> None:
        super()._on_created(pipe, record)
        self._index.add(pipe, record.project_id, record.file_id, record.id)

    def _on_ended(self, pipe: Pipeline, record: Task) -> None:
        if record.kind in _EVENTS:
            outbox.add(pipe, self._end_of(record))
        if record.state is TaskState.CANCELLED:
            pipe.sadd(TO_SWEEP, record.member)

    def _end_of(self, record: Task) -> Event:
        """Return the event of the final status. A task may end again after it was restarted."""
        return Event(
            id=ids.new(ids.WEBHOOK_EVENT),
            project_id=record.project_id,
            created_at=record.finished_at or clock.now_s(),
            type=f"{_EVENTS[record.kind]}.{record.state}",
            subject_id=record.id,
        )

    def _on_deleted(self, pipe: Pipeline, record: Task) -> None:
        self._index.remove(pipe, record.project_id, record.file_id, [record.id])
        pipe.sadd(TO_SWEEP, record.member)
