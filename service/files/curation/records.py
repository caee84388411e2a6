"""Records of tasks on a file in Redis, such as reports and cleanings, deleted with the file."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from redis.asyncio.client import Pipeline

from service.core import ids, queue
from service.core.attempts import AttemptedRecord, died_while_it
from service.core.claims import Claim
from service.core.records import PREFIX, Collection, Missing
from service.core.redis import Client
from service.core.storage import Storage
from service.core.unfinished import count_unfinished, read_unfinished
from service.files.records import tasks_of

FUNCTION = "curate_file"  # the task's name in the CPU queue
_FAILED_FOR_S = 60  # a failed task is retried if it is requested after this time
UNFINISHED = f"{PREFIX}:curation-unfinished"  # "project/file/task"


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


class TaskFailure(BaseModel):
    """Reason a task failed."""

    code: str
    message: str


class Task(AttemptedRecord):
    """A task on one file, such as a report, a cleaning or an import."""

    file_id: str
    kind: TaskKind
    options: dict[str, Any]
    state: TaskState = TaskState.IN_PROGRESS
    finished_at: int | None = None
    error: TaskFailure | None = None
    result: dict[str, Any] | None = None

    @property
    def subject(self) -> str:
        """The task's name in the queue and in leases."""
        return f"{self.file_id}/{self.id}"

    @property
    def folder(self) -> str:
        """The storage folder of the task's output, under the file's own folder."""
        return f"{self.project_id}/files/{self.file_id}/tasks/{self.id}"


class TaskSuperseded(Exception):
    """The task has ended, or another attempt runs it."""


class Tasks:
    """All tasks, by project and file."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis

    def of(self, file_id: str) -> Collection[Task]:
        """The tasks of one file."""
        return Collection(self.redis, tasks_of(file_id), Task)

    async def waiting(self, project_id: str) -> int:
        """The number of the project's unfinished tasks."""
        return await count_unfinished(self.redis, UNFINISHED, project_id)

    async def create(self, task: Task, claim: Claim[Task] | None = None) -> Task:
        """Store a new task and enqueue it. Raises ValueError if its ID is taken, and ClaimLost."""
        claim = claim or Claim()

        def also(pipe: Pipeline) -> None:
            pipe.sadd(UNFINISHED, f"{task.project_id}/{task.subject}")
            claim.settle(pipe, task)

        await self.of(task.file_id).create(task, also=also, check=claim.check)
        with queue.left_to_the_reconciler():
            await self.enqueue(task)
        return task

    async def asked_for(self, requested: Task) -> Task:
        """The task with the wanted ID: created if new, restarted if it failed a while ago."""
        found = await self.of(requested.file_id).get(requested.project_id, requested.id)
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

    async def enqueue(self, task: Task) -> None:
        """Enqueue the task's attempt unless it is already queued."""
        await queue.enqueue(
            self.redis, queue.CPU, FUNCTION, task.project_id, task.subject, task.attempt
        )

    async def restart(self, task: Task) -> Task:
        """Start a task again that has ended. Raises Missing if it is gone."""
        return await self._start_next(task, lost_attempts=0)

    async def lose(self, task: Task, most_lost: int) -> None:
        """Start the next attempt of a task whose worker died, or fail the task.

        Raises TaskSuperseded, and Missing if the task is gone.
        """
        if task.is_hopeless(most_lost):
            message = died_while_it("worked on this file")
            await self.finish(task, error=TaskFailure(code="task_interrupted", message=message))
        else:
            await self._start_next(task, lost_attempts=task.lost_attempts + 1)

    async def _start_next(self, task: Task, *, lost_attempts: int) -> Task:
        def change(current: Task) -> Task:
            if not current.is_attempt_of(task):
                return current  # already restarted by another process
            return current.model_copy(
                update={
                    "attempt": current.attempt + 1,
                    "lost_attempts": lost_attempts,
                    "state": TaskState.IN_PROGRESS,
                    "error": None,
                    "finished_at": None,
                }
            )

        def also(pipe: Pipeline, after: Task) -> None:
            pipe.sadd(UNFINISHED, f"{after.project_id}/{after.subject}")

        after = await self.of(task.file_id).update(task.project_id, task.id, change, also=also)
        await self.enqueue(after)
        return after

    async def finish(
        self,
        task: Task,
        *,
        result: dict[str, Any] | None = None,
        error: TaskFailure | None = None,
        also: Callable[[Pipeline], Any] | None = None,
    ) -> None:
        """Store the attempt's outcome together with `also(pipe)` in one atomic step.

        Raises Superseded if the task has ended or another attempt runs it, and Missing if the
        file was deleted. In both cases, nothing is written.
        """

        def change(current: Task) -> Task:
            if not current.is_attempt_of(task) or current.state is not TaskState.IN_PROGRESS:
                raise TaskSuperseded(task.id)
            state = TaskState.COMPLETED if error is None else TaskState.FAILED
            return current.model_copy(
                update={
                    "state": state,
                    "result": result,
                    "error": error,
                    "finished_at": ids.now_s(),
                }
            )

        def together(pipe: Pipeline, _: Task) -> None:
            pipe.srem(UNFINISHED, f"{task.project_id}/{task.subject}")
            if also is not None:
                also(pipe)

        await self.of(task.file_id).update(task.project_id, task.id, change, also=together)

    async def finish_stored(self, task: Task, storage: Storage) -> None:
        """Finish an attempt whose output is in the task's folder.

        Raises TaskSuperseded, and Missing if the file was deleted; then the output is removed.
        """
        try:
            await self.finish(task)
        except Missing:  # the deletion may have been before the output was stored
            await storage.delete_prefix(task.folder)
            raise

    async def forget(self, task: Task) -> None:
        """Delete a task that was created while its file was being deleted.

        Otherwise it would be enqueued forever.
        """
        member = f"{task.project_id}/{task.subject}"
        await self.of(task.file_id).delete(
            task.project_id, task.id, also=lambda pipe: pipe.srem(UNFINISHED, member)
        )

    async def unfinished(self) -> list[Task]:
        """All readable unfinished tasks. Entries of ended or deleted tasks are removed."""
        return await read_unfinished(
            self.redis,
            UNFINISHED,
            lambda parts: self.of(parts[1]),
            lambda task: task.state is TaskState.IN_PROGRESS,
        )
