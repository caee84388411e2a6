"""Run merges: write a new file, and a diff that names each row that is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from service.config import Settings
from service.core import ids
from service.datasets.contract.tasks import MergeSpec
from service.datasets.contract.versions import MergeOptions, MergeResult, MergeSource
from service.datasets.formats.options import canonical_facts
from service.datasets.output import OutputFile
from service.files.curation.child_runner import Desk
from service.files.curation.outputs import Output, Outputs
from service.files.curation.records import Task
from service.files.curation.scratch import fetch, other_file
from service.files.records import FileRecord, Files, FileStatus, Purpose


class MakeMerge:
    """Executes merge tasks."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._outputs = Outputs(files)
        self._desk = Desk(settings)
        self._max_bytes = settings.max_unpacked_bytes

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Merge the files; outputs and task state are committed together. Raises DeskFailed."""
        given = folder / "files"
        given.mkdir()
        records: list[FileRecord] = []
        sources: list[MergeSource] = []
        for one in task.options["files"]:
            source = await other_file(self._files, task, one["file_id"], "file")
            await fetch(self._files.storage, source, given / source.id)
            records.append(source)
            sources.append(
                MergeSource(
                    source.id,
                    self._desk.format_of(source.reading),
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
        await self._keep(task, records, await self._desk.run(spec))

    async def _keep(self, task: Task, sources: list[FileRecord], merged: MergeResult) -> None:
        name = task.options["filename"]
        found = msgspec.to_builtins(canonical_facts(merged.merged.bytes, merged.row_format))
        outputs = {
            "merged_file": _output(
                task,
                sources,
                merged.merged,
                name,
                Purpose.FINE_TUNE,
                row_format=merged.row_format,
                found=found,
                canonical=merged.merged.sha256,
            ),
            "diff_file": _output(
                task, sources, merged.diff, f"{Path(name).stem}.diff.jsonl", Purpose.USER_DATA
            ),
        }
        result = {
            **{name: output.record.id for name, output in outputs.items()},
            "rows": merged.merged.rows,
            "sources": msgspec.to_builtins(merged.files),
            "languages": {share.name: share.rows for share in merged.languages},
            "conflicts": merged.conflicts,
            "conflict_examples": msgspec.to_builtins(merged.conflict_examples),
        }
        await self._outputs.finish(task, result, list(outputs.values()))


def _output(
    task: Task,
    sources: list[FileRecord],
    written: OutputFile,
    filename: str,
    purpose: Purpose,
    **more: Any,
) -> Output:
    """An output file that expires with the first of its sources, and names them."""
    expirations = [source.expires_at for source in sources if source.expires_at is not None]
    record = FileRecord(
        id=ids.new(ids.FILE),
        project_id=task.project_id,
        created_at=ids.now_s(),
        filename=filename,
        purpose=purpose,
        bytes=written.bytes,
        sha256=written.sha256,
        status=FileStatus.PROCESSED,
        expires_at=min(expirations, default=None),
        rows=written.rows,
        merged_from=tuple(source.id for source in sources),
        merge=task.id,
        **more,
    )
    return Output(record, Path(written.path))
