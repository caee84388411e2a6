"""Records of tasks on a file in Redis, such as reports and cleanings, deleted with the file."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Self

from redis.asyncio.client import Pipeline

from service.core import ids, queue
from service.core.records import Collection, Missing
from service.core.storage import Storage
from service.files.records import tasks_of
from service.work.records import Kind, RestartedRecord, WorkError
from service.work.store import WorkStore

_FAILED_FOR_S = 60  # a failed task is retried if it is requested after this time


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
        """The file."""
        return (self.file_id,)

    @property
    def folder(self) -> str:
        """The storage folder of the task's output, under the file's own folder."""
        return f"{self.project_id}/files/{self.file_id}/tasks/{self.id}"

    def next_attempt(self, **fields: Any) -> Self:
        """Return the record with the next attempt, which starts again."""
        again = {"state": TaskState.IN_PROGRESS, "error": None, "finished_at": None}
        return super().next_attempt(**again, **fields)


class Tasks(WorkStore[Task]):
    """All tasks, by project and file."""

    record = Task

    def collection(self, *parents: str) -> Collection[Task]:
        """Return the tasks of one file."""
        return Collection(self.redis, tasks_of(*parents), Task)

    async def asked_for(self, requested: Task) -> Task:
        """The task with the wanted ID: created if new, restarted if it failed a while ago."""
        found = await self.collection(requested.file_id).get(requested.project_id, requested.id)
        if found is None:
            try:
                return await self.create(requested)
            except ValueError:  # created by a concurrent request
                return requested
        if (
            found.state is TaskState.FAILED
            and (found.finished_at or 0) + _FAILED_FOR_S < ids.now_s()
        ):
            return await self.restart(found)
        return found

    async def finish(
        self,
        task: Task,
        *,
        result: dict[str, Any] | None = None,
        also: Callable[[Pipeline], Any] = lambda _: None,
    ) -> None:
        """Store the attempt's result together with `also(pipe)` in one atomic step.

        Raises AttemptSuperseded, and Missing if the file was deleted. In both cases, nothing is
        written.
        """
        await self.change_own(
            task,
            lambda current: current.end(TaskState.COMPLETED, ids.now_s(), result=result),
            lambda pipe, _: also(pipe),
        )

    async def finish_stored(self, task: Task, storage: Storage) -> None:
        """Finish an attempt whose output is in the task's folder.

        Raises AttemptSuperseded, and Missing if the file was deleted; then the output is removed.
        """
        try:
            await self.finish(task)
        except Missing:  # the deletion may have been before the output was stored
            await storage.delete_prefix(task.folder)
            raise
