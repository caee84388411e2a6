"""Measure a file's rows in a base model's tokens, for a job's training plan and estimate."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from service.config import Settings
from service.core import ids
from service.datasets.contract.tasks import Measures, MeasureSpec
from service.files.curation.child_runner import Desk, DeskFailed
from service.files.curation.records import Task, TaskKind, Tasks, TaskState
from service.files.curation.scratch import fetch_rows
from service.files.records import FileRecord, Files
from service.models.catalogue import BaseModelEntry, Catalogue
from service.models.model_folder import template_digest


def measure_task(file: FileRecord, model: BaseModelEntry) -> Task:
    """The task that measures a checked file for a base model. Its ID depends on the template."""
    view = msgspec.json.encode([file.meaning, model.id, template_digest(model.path)])
    return Task(
        id=ids.MEASURE + hashlib.sha256(view).hexdigest()[:32],
        project_id=file.project_id,
        created_at=ids.now_s(),
        file_id=file.id,
        kind=TaskKind.MEASURE,
        options={"model": model.id},
    )


def measures_of(task: Task) -> Measures | None:
    """The measurements of a completed task; None if it has not completed."""
    done = task.state is TaskState.COMPLETED and task.result is not None
    return msgspec.convert(task.result, Measures) if done else None


class MakeMeasure:
    """Executes measure tasks."""

    def __init__(self, files: Files, catalogue: Catalogue, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._catalogue = catalogue
        self._desk = Desk(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Measure the canonical rows and finish the task. Raises DeskFailed."""
        entry = self._catalogue.get(task.options["model"])
        tokenizer = entry.path / "tokenizer.json" if entry is not None else None
        if tokenizer is None or not tokenizer.is_file() or file.canonical is None:
            raise DeskFailed("not_measurable", "The model's tokenizer or the rows are missing.")
        spec = MeasureSpec(
            path=await fetch_rows(self._files.storage, file, folder / "rows.jsonl"),
            rows=file.rows or 0,
            tokenizer=tokenizer,
            result=folder / "result.json",
        )
        measures = await self._desk.run(spec)
        await self._tasks.finish(task, result=msgspec.to_builtins(measures))
