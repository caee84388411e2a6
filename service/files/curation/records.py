"""Records of tasks on a file in Redis, such as reports and cleanings.

They are deleted with the file. The ID of a task that is requested by its options, such as a report,
is a digest of them, so that the same request finds the same task.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Self

import msgspec
from redis.asyncio.client import Pipeline

from service.core import clock, queue
from service.core.records import Collection, Missing
from service.core.storage import Storage
from service.files.records import FileRecord, tasks_of
from service.work.records import Kind, RestartedRecord, WorkError
from service.work.store import WorkStore

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


class TaskState(StrEnum):
    """State of a task."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


class Task(RestartedRecord):
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
    final = frozenset({TaskState.COMPLETED, TaskState.FAILED})
    failed = TaskState.FAILED
    status_field = "state"

    file_id: str
    kind: TaskKind
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


def task_on_request(
    kind: TaskKind, id_prefix: str, file: FileRecord, options: dict[str, Any], *seen: Any
) -> Task:
    """Return a task whose ID is a digest of the file's meaning and of all else that it `seen`."""
    view = msgspec.json.encode([file.meaning, *seen], order="sorted")
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

    def collection(self, *parents: str) -> Collection[Task]:
        """Return the tasks of one file."""
        return Collection(self.redis, tasks_of(*parents), Task)

    async def get_or_create(self, requested: Task) -> Task:
        """Return the task with this ID. It is created if new, and restarted if it has failed."""
        found = await self.collection(requested.file_id).get(requested.project_id, requested.id)
        if found is None:
            try:
                return await self.create(requested)
            except ValueError:  # created by a concurrent request
                return requested
        failed_at = (found.finished_at or 0) if found.state is TaskState.FAILED else None
        if failed_at is not None and failed_at + _RETRY_AFTER_S < clock.now_s():
            return await self.restart(found)
        return found

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

    async def finish_stored(self, task: Task, storage: Storage) -> None:
        """Complete a task whose output is in its folder.

        Raises AttemptSuperseded, and Missing if the file was deleted. The output is then removed.
        """
        try:
            await self.finish(task)
        except Missing:  # the file may have been deleted before the output was stored
            await storage.delete_prefix(task.folder)
            raise
