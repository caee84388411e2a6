"""Runs merges: writes a new file, and a diff that names each row that is left out."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from service.config import Settings
from service.datasets.contract.tasks import MergeSpec
from service.datasets.contract.versions import MergeOptions, MergeResult, MergeSource
from service.files.curation.dataset_process import DatasetProcess, fetch, other_file
from service.files.curation.outputs import Outputs, new_output
from service.files.curation.records import Task
from service.files.records import FileRecord, Files


class MakeMerge:
    """Runs merge tasks."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._outputs = Outputs(files)
        self._dataset_process = DatasetProcess(settings)
        self._max_bytes = settings.max_unpacked_bytes

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Merge the files, and register the outputs when it completes. Raises DatasetTaskFailed."""
        given = folder / "files"
        given.mkdir()
        records: list[FileRecord] = []
        sources: list[MergeSource] = []
        for one in task.options["files"]:
            source = await other_file(self._files, task.project_id, one["file_id"], "file")
            await fetch(self._files.storage, source, given / source.id)
            records.append(source)
            sources.append(
                MergeSource(
                    source.id,
                    self._dataset_process.format_of(source.read_options),
                    max_rows=one["max_rows"],
                    weight=one["weight"],
                )
            )
        spec = MergeSpec(
            path=given,
            out=folder / "out",
            sources=tuple(sources),
            max_bytes=self._max_bytes,
            options=msgspec.convert(task.options["options"], MergeOptions),
            result=folder / "result.json",
        )
        await self._keep(task, records, await self._dataset_process.run(spec))

    async def _keep(self, task: Task, sources: list[FileRecord], merged: MergeResult) -> None:
        expirations = [source.expires_at for source in sources if source.expires_at is not None]
        new = partial(
            new_output,
            task.project_id,
            expires_at=min(expirations, default=None),
            merged_from=tuple(source.id for source in sources),
            merge=task.id,
        )
        name = task.options["filename"]
        output = new(merged.merged, name, row_format=merged.row_format)
        diff = new(merged.diff, f"{Path(name).stem}.diff.jsonl")
        result = {
            "merged_file": output.record.id,
            "diff_file": diff.record.id,
            "rows": merged.merged.rows,
            "sources": msgspec.to_builtins(merged.files),
            "languages": {share.name: share.rows for share in merged.languages},
            "conflicts": merged.conflicts,
            "conflict_examples": msgspec.to_builtins(merged.conflict_examples),
        }
        await self._outputs.finish(task, result, [output, diff])
