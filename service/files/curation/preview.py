"""Create previews of files: one per set of format options, stored next to the file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from service.config import Settings
from service.core import ids
from service.datasets.contract.tasks import PreviewSpec
from service.files.curation.child_runner import Desk
from service.files.curation.records import Task, TaskKind, Tasks
from service.files.curation.scratch import fetch
from service.files.documents import read_with
from service.files.records import FileRecord, Files

_NAME = "preview.json"


class PreviewOptions(msgspec.Struct, frozen=True):
    """Format options to read a file with, and the maximum number of rows to show."""

    format: dict[str, Any]
    limit: int


def preview_task(file: FileRecord, options: PreviewOptions) -> Task:
    """The task that previews a file. The same content and options have the same ID."""
    view = msgspec.json.encode([file.meaning, options], order="sorted")
    return Task(
        id=ids.PREVIEW + hashlib.sha256(view).hexdigest()[:32],
        project_id=file.project_id,
        created_at=ids.now_s(),
        file_id=file.id,
        kind=TaskKind.PREVIEW,
        options=msgspec.to_builtins(options),
    )


def preview_key(task: Task) -> str:
    """The storage key of a completed preview."""
    return f"{task.folder}/{_NAME}"


class MakePreview:
    """Executes preview tasks."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._desk = Desk(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Create and store the preview, then finish. Raises DeskFailed."""
        options = msgspec.convert(task.options, PreviewOptions)
        spec = PreviewSpec(
            path=await fetch(self._files.storage, file, folder / "content"),
            format=self._desk.format_of(read_with(options.format, file.filename)),
            limit=options.limit,
            result=folder / _NAME,
        )
        await self._desk.run(spec)
        await self._files.storage.put_file(preview_key(task), spec.result)
        await self._tasks.finish_stored(task, self._files.storage)
