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
from service.files.curation.recognizers.records import Recognizers
from service.files.curation.records import Task, TaskKind, Tasks, task_on_request
from service.files.curation.rows import PersonalDataMode
from service.files.records import FileRecord, Files, with_filename_hint

PREVIEW = "preview.json"


# The ID of a preview is a digest of its options. Without their defaults, it stays as it was before
# there was a new option.
class PreviewOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Format options to read a file with, the maximum number of rows to show, and whether to mask
    personal data in them.
    """

    format: dict[str, Any]
    limit: int
    personal_data: PersonalDataMode = "show"


def preview_task(file: FileRecord, options: PreviewOptions, recognizers: str | None) -> Task:
    """Return the task that previews a file.

    `recognizers` is the digest of the project's recognizers, which masked previews depend on.
    """
    chosen = msgspec.to_builtins(options)
    is_masked = options.personal_data == "mask"
    seen = (chosen, recognizers) if is_masked and recognizers is not None else (chosen,)
    return task_on_request(TaskKind.PREVIEW, ids.PREVIEW, file, chosen, *seen)


class MakePreview:
    """Runs preview tasks."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._recognizers = Recognizers(files.redis)
        self._dataset_process = DatasetProcess(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Create and store the preview. Raises DatasetTaskFailed."""
        options = msgspec.convert(task.options, PreviewOptions)
        masks = options.personal_data == "mask"
        spec = PreviewSpec(
            path=await fetch(self._files.storage, file, folder / "content"),
            format=self._dataset_process.format_of(
                with_filename_hint(options.format, file.filename)
            ),
            limit=options.limit,
            masks=masks,
            recognizers=await self._recognizers.all(task.project_id) if masks else (),
            result=folder / PREVIEW,
        )
        preview = await self._dataset_process.run(spec)
        await self._files.storage.put_file(f"{task.folder}/{PREVIEW}", spec.result)
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
