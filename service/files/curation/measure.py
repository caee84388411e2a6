"""Measures the rows of a file in a base model's tokens, for a job's training plan and estimate."""

from __future__ import annotations

from pathlib import Path

import msgspec

from service.config import Settings
from service.core import ids
from service.datasets.contract.tasks import Measures, MeasureSpec
from service.files.curation.dataset_process import DatasetProcess, DatasetTaskFailed, fetch_rows
from service.files.curation.records import Task, TaskKind, Tasks, TaskState, task_on_request
from service.files.records import FileRecord, Files
from service.models.catalogue import BaseModelEntry, Catalogue
from service.models.model_folder import template_digest


def measure_task(file: FileRecord, model: BaseModelEntry) -> Task:
    """Return the task that measures a checked file for a base model and its chat template."""
    digest = template_digest(model.path)
    options = {"model": model.id}
    return task_on_request(TaskKind.MEASURE, ids.MEASURE, file, options, model.id, digest)


def measures_of(task: Task) -> Measures | None:
    """Return the measurements of a completed task, or None if it has not completed."""
    is_done = task.state is TaskState.COMPLETED and task.result is not None
    return msgspec.convert(task.result, Measures) if is_done else None


class MakeMeasure:
    """Runs measure tasks."""

    def __init__(self, files: Files, catalogue: Catalogue, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._catalogue = catalogue
        self._dataset_process = DatasetProcess(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Measure the canonical rows and finish the task. Raises DatasetTaskFailed."""
        entry = self._catalogue.get(task.options["model"])
        tokenizer = entry.path / "tokenizer.json" if entry is not None else None
        if tokenizer is None or not tokenizer.is_file() or file.canonical is None:
            raise DatasetTaskFailed(
                "not_measurable", "The model's tokenizer or the rows are missing."
            )
        spec = MeasureSpec(
            path=await fetch_rows(self._files.storage, file, folder / "rows.jsonl"),
            rows=file.rows or 0,
            tokenizer=tokenizer,
            result=folder / "result.json",
        )
        measures = await self._dataset_process.run(spec)
        await self._tasks.finish(task, result=msgspec.to_builtins(measures))
