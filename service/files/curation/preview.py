"""Creates previews of files: one per set of format options, stored next to the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from service.config import Settings
from service.core import ids
from service.datasets.contract.preview import Preview
from service.datasets.contract.tasks import PreviewSpec
from service.files.curation.dataset_process import DatasetProcess, fetch
from service.files.curation.records import Task, TaskKind, Tasks, task_on_request
from service.files.records import FileRecord, Files, with_filename_hint

PREVIEW = "preview.json"


class PreviewOptions(msgspec.Struct, frozen=True):
    """Format options to read a file with, and the maximum number of rows to show."""

    format: dict[str, Any]
    limit: int


def preview_task(file: FileRecord, options: PreviewOptions) -> Task:
    """Return the task that previews a file."""
    chosen = msgspec.to_builtins(options)
    return task_on_request(TaskKind.PREVIEW, ids.PREVIEW, file, chosen, chosen)


def preview_key(task: Task) -> str:
    """Return the storage key of a completed preview."""
    return f"{task.folder}/{PREVIEW}"


class MakePreview:
    """Runs preview tasks."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._dataset_process = DatasetProcess(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Create and store the preview. Raises DatasetTaskFailed."""
        options = msgspec.convert(task.options, PreviewOptions)
        spec = PreviewSpec(
            path=await fetch(self._files.storage, file, folder / "content"),
            format=self._dataset_process.format_of(
                with_filename_hint(options.format, file.filename)
            ),
            limit=options.limit,
            result=folder / PREVIEW,
        )
        preview = await self._dataset_process.run(spec)
        await self._files.storage.put_file(preview_key(task), spec.result)
        await self._tasks.finish_stored(task, self._files.storage, _main_figures(preview))


def _main_figures(preview: Preview) -> dict[str, Any]:
    """Return what the record of the task tells about the preview, without any text of the file."""
    found = preview.found
    return {
        "container": found and found.container,
        "compression": found and found.compression,
        "encoding": found and found.encoding,
        "shape": found and found.shape,
        "rows": len(preview.rows),
        "findings": len(preview.findings) + sum(len(row.findings) for row in preview.rows),
        "error_code": preview.error and preview.error.code,
    }
