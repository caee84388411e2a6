"""CPU task that runs the tasks on a file, such as reports and cleanings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Protocol

from service.config import Settings
from service.core import ids, metrics
from service.core.leases import Held, Leases
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError
from service.files.curation.child_runner import DeskFailed
from service.files.curation.records import (
    Task,
    TaskFailure,
    TaskKind,
    Tasks,
    TaskState,
    TaskSuperseded,
)
from service.files.curation.scratch import scratch_folder
from service.files.records import FileRecord, Files

log = logging.getLogger(__name__)


class Work(Protocol):
    """Executor of one kind of task."""

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Execute the task in a scratch folder and finish it. Raises DeskFailed."""


class Curate:
    """The `curate_file` task: moves a task from in progress to completed or failed."""

    def __init__(
        self, files: Files, leases: Leases, settings: Settings, kinds: dict[TaskKind, Work]
    ) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._leases = leases
        self._scratch = settings.scratch
        self._kinds = kinds

    async def run(self, _ctx: dict[str, Any], project_id: str, subject: str, attempt: int) -> None:
        """Run the task. A task that has ended is skipped, and one whose file is gone is deleted."""
        file_id, task_id = subject.split("/")
        try:
            async with self._leases.hold(subject, attempt):
                task = await self._tasks.of(file_id).get(project_id, task_id)
                file = await self._files.get(project_id, file_id, ids.now_s())
                if task is None or task.attempt != attempt:
                    return
                if file is None:
                    await self._tasks.forget(task)
                elif task.state is TaskState.IN_PROGRESS:
                    await self._run(task, file)
        except (Held, Missing, TaskSuperseded) as e:
            log.info("%s is no longer this worker's to finish: %s", task_id, type(e).__name__)

    async def _run(self, task: Task, file: FileRecord) -> None:
        outcome = TaskState.COMPLETED
        try:
            async with scratch_folder(self._scratch / f"{file.id}-{task.id}") as folder:
                await self._kinds[task.kind](task, file, folder)
        except DeskFailed as e:
            outcome = TaskState.FAILED
            await self._tasks.finish(task, error=TaskFailure(code=e.code, message=e.message))
        except (*REDIS_ERRORS, StorageError, Missing, TaskSuperseded):
            raise  # retried later, or no longer relevant
        except Exception:
            # An internal error: report it once instead of retrying forever.
            outcome = TaskState.FAILED
            log.exception("%s failed", task.id)
            message = f"The service failed on this task. Give the operator its id: {task.id}."
            await self._tasks.finish(
                task, error=TaskFailure(code="internal_error", message=message)
            )
        metrics.FILE_TASKS.cell(task.kind, outcome).inc()
