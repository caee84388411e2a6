"""Counts the validation rows of a job that are training rows too, in a task on the file."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from service.config import Settings
from service.core import clock, ids
from service.datasets.contract.tasks import OverlapSpec, SharedRows
from service.files.curation.dataset_process import DatasetProcess, fetch_rows, other_file
from service.files.curation.records import Task, TaskKind, Tasks, TaskState
from service.files.records import FileRecord, Files
from service.jobs.planning.mixture import join_rows


class OverlapCounts(msgspec.Struct, frozen=True):
    """Of `rows` validation rows, how many equal a training row, mean the same as one, or are part
    of one.
    """

    rows: int
    exact: int
    near: int
    contained: int

    @property
    def shared(self) -> int:
        """Number of validation rows that the training files contain."""
        return self.exact + self.near + self.contained

    def describe(self, *, is_evaluated: bool) -> str:
        """Return the counts, and what they mean for the evaluation or for the held-out loss."""
        so = (
            "the evaluation leaves them out"
            if is_evaluated
            else "the loss on them does not show what the model has learned"
        )
        return (
            f"{self.shared} of {self.rows} rows of the validation file are in the training data "
            f"({self.exact} equal, {self.near} nearly equal, {self.contained} as a part of a "
            f"conversation): {so}."
        )


def overlap_task(validation: FileRecord, training: Sequence[FileRecord]) -> Task:
    """Return the task that compares a checked validation file with checked training files."""
    view = msgspec.json.encode([file.meaning for file in (validation, *training)])
    return Task(
        id=ids.OVERLAP + hashlib.sha256(view).hexdigest()[:32],
        project_id=validation.project_id,
        created_at=clock.now_s(),
        file_id=validation.id,
        kind=TaskKind.OVERLAP,
        options={"training": [file.id for file in training]},
    )


def read_overlap(task: Task) -> OverlapCounts | None:
    """Return the counts of a completed task; None if it has not completed."""
    done = task.state is TaskState.COMPLETED and task.result is not None
    return msgspec.convert(task.result, OverlapCounts) if done else None


class CountOverlap:
    """Executes the tasks that compare validation rows with training rows."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._dataset_process = DatasetProcess(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Compare the canonical rows and finish the task. Raises DatasetTaskFailed."""
        parts = []
        for place, file_id in enumerate(task.options["training"]):
            record = await other_file(self._files, task.project_id, file_id, "training file")
            path = folder / f"training-{place}.jsonl"
            parts.append(await fetch_rows(self._files.storage, record, path))
        spec = OverlapSpec(
            path=await fetch_rows(self._files.storage, file, folder / "validation.jsonl"),
            training=await asyncio.to_thread(join_rows, parts, folder / "training.jsonl"),
            result=folder / "result.json",
        )
        found: SharedRows = await self._dataset_process.run(spec)
        counts = OverlapCounts(found.rows, len(found.exact), len(found.near), len(found.contained))
        await self._tasks.finish(task, result=msgspec.to_builtins(counts))
