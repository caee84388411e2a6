"""The `curate_file` task: runs the tasks on a file, such as reports and cleanings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from service.config import Settings
from service.core import clock, metrics
from service.core.leases import Leases
from service.files.curation.dataset_process import DatasetTaskFailed, scratch_folder
from service.files.curation.records import Task, TaskKind, Tasks, TaskState
from service.files.records import FileRecord, Files
from service.work.task import CancelableTask


class TaskWork(Protocol):
    """The work of one kind of task."""

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Do the work in a scratch folder, and complete the task. Raises DatasetTaskFailed."""


class RunFileTask(CancelableTask[Task]):
    """Runs tasks by their kind, and counts how they end."""

    failures = (DatasetTaskFailed,)

    def __init__(
        self, files: Files, leases: Leases, settings: Settings, kinds: dict[TaskKind, TaskWork]
    ) -> None:
        super().__init__(Tasks(files.redis), leases)
        self._files = files
        self._scratch = settings.scratch
        self._kinds = kinds

    async def _work(self, task: Task) -> None:
        file = await self._files.get(task.project_id, task.file_id, clock.now_s())
        if file is None:
            # It was created while the file was deleted, and would be enqueued forever.
            await self._store.delete(task)
            return
        async with scratch_folder(self._scratch / f"{file.id}-{task.id}") as folder:
            await self._kinds[task.kind](task, file, folder)
        metrics.FILE_TASKS.cell(task.kind, TaskState.COMPLETED).inc()

    async def _fail(self, task: Task, error: Any) -> None:
        await super()._fail(task, error)
        metrics.FILE_TASKS.cell(task.kind, TaskState.FAILED).inc()
