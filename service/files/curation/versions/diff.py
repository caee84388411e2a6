"""Compare files: one diff per pair of files, stored next to the first of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from service.config import Settings
from service.core import ids
from service.datasets.contract.tasks import DiffSpec
from service.datasets.contract.versions import Lineage
from service.files.curation.child_runner import Desk, DeskFailed
from service.files.curation.recognizers.records import Recognizers
from service.files.curation.records import Task, TaskKind, Tasks, TaskState
from service.files.curation.scratch import fetch, other_file
from service.files.records import FileRecord, Files

DIFF = "diff.json"


def diff_task(file: FileRecord, other: FileRecord, recognizers: str | None = None) -> Task:
    """The task that compares a file with a later one. The same files have the same ID.

    `recognizers` is the digest of the project's recognizers.
    """
    view = msgspec.json.encode([file.meaning, other.id, other.meaning, recognizers])
    return Task(
        id=ids.DIFF + hashlib.sha256(view).hexdigest()[:32],
        project_id=file.project_id,
        created_at=ids.now_s(),
        file_id=file.id,
        kind=TaskKind.DIFF,
        options={"other_file": other.id},
    )


class MakeDiff:
    """Executes tasks that compare files."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._recognizers = Recognizers(files.redis)
        self._desk = Desk(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Store the diff and the index of the rows that differ, then finish. Raises DeskFailed."""
        other = await other_file(self._files, task, task.options["other_file"], "file")
        out = folder / "out"
        out.mkdir()
        spec = DiffSpec(
            path=await fetch(self._files.storage, file, folder / "content"),
            other=await fetch(self._files.storage, other, folder / "other"),
            out=out,
            format=self._desk.format_of(file.reading),
            other_format=self._desk.format_of(other.reading),
            stored_rows=file.canonical,
            other_stored_rows=other.canonical,
            lineage=await self._lineage(file, other, folder / "cleaning"),
            recognizers=await self._recognizers.all(task.project_id),
            result=folder / DIFF,
        )
        await self._desk.run(spec)
        spec.result.rename(out / DIFF)
        await self._files.storage.put_folder(task.folder, out)
        await self._tasks.finish_stored(task, self._files.storage)

    async def _lineage(self, file: FileRecord, other: FileRecord, path: Path) -> Lineage | None:
        """How a cleaning made the other file from the file; None if that is not known."""
        if other.cleaning is None or other.derived_from != file.id:
            return None
        cleaning = await self._tasks.collection(file.id).get(file.project_id, other.cleaning)
        if cleaning is None or cleaning.state is not TaskState.COMPLETED or cleaning.result is None:
            return None
        if "format" in cleaning.options:  # its lines are those of another reading
            return None
        diff = await self._files.get(file.project_id, cleaning.result["diff_file"], ids.now_s())
        if diff is None:
            return None
        try:
            await fetch(self._files.storage, diff, path)
        except DeskFailed:  # it was just deleted
            return None
        return Lineage(path, is_validation=cleaning.result.get("validation_file") == other.id)
