"""Run cleanings: write new files and a diff that describes each affected row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from service.config import Settings
from service.core import ids
from service.datasets.contract.tasks import CleanOptions, CleanResult, CleanSpec
from service.datasets.formats.options import RowFormat, canonical_facts
from service.datasets.output import OutputFile
from service.files.curation.child_runner import Desk, DeskFailed
from service.files.curation.outputs import Output, Outputs
from service.files.curation.recognizers.records import Recognizers
from service.files.curation.records import Task
from service.files.curation.scratch import fetch, other_file
from service.files.documents import read_with
from service.files.records import FileRecord, Files, FileStatus, Purpose


class MakeCleaning:
    """Executes cleaning tasks."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._recognizers = Recognizers(files.redis)
        self._outputs = Outputs(files)
        self._desk = Desk(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Clean the file; output files and task state are committed together. Raises DeskFailed."""
        options = dict(task.options)
        given = options.pop("format", None) or file.format
        decisions = options.pop("decisions_file", None)
        spec = CleanSpec(
            path=await fetch(self._files.storage, file, folder / "content"),
            out=folder / "out",
            format=self._desk.format_of(read_with(given, file.filename)),
            options=msgspec.convert(options, CleanOptions),
            recognizers=await self._recognizers.all(task.project_id),
            result=folder / "result.json",
        )
        if decisions is not None:
            found = await other_file(self._files, task, decisions, "file of decisions")
            fetched = await fetch(self._files.storage, found, folder / "decisions")
            spec = msgspec.structs.replace(spec, decisions=fetched)
        cleaned = await self._desk.run(spec)
        if cleaned.train.rows == 0:
            raise DeskFailed(
                "nothing_left", "No rows are left after the cleaning; the report shows why."
            )
        await self._keep(task, file, cleaned)

    async def _keep(self, task: Task, file: FileRecord, cleaned: CleanResult) -> None:
        row_format = cleaned.source.facts.row_format
        outputs = {
            "training_file": _rows(file, task, cleaned.train, "clean", row_format),
            "diff_file": _output(file, task, cleaned.diff, "diff", Purpose.USER_DATA),
        }
        if cleaned.validation is not None and cleaned.validation.rows:
            outputs["validation_file"] = _rows(
                file, task, cleaned.validation, "validation", row_format
            )
        result = {
            **{name: output.record.id for name, output in outputs.items()},
            "source_rows": cleaned.source.rows,
            "training_rows": cleaned.train.rows,
            "validation_rows": cleaned.validation.rows if cleaned.validation else 0,
            "dropped": cleaned.dropped,
            "changed": cleaned.changed,
            "changed_rows": cleaned.changed_rows,
        }
        await self._outputs.finish(task, result, list(outputs.values()))


def _rows(
    source: FileRecord, task: Task, cleaned: OutputFile, what: str, row_format: RowFormat
) -> Output:
    """An output of canonical rows, which are already valid."""
    found = msgspec.to_builtins(canonical_facts(cleaned.bytes, row_format))
    data = {"row_format": row_format, "found": found, "canonical": cleaned.sha256}
    return _output(source, task, cleaned, what, Purpose.FINE_TUNE, **data)


def _output(
    source: FileRecord, task: Task, cleaned: OutputFile, what: str, purpose: Purpose, **more: Any
) -> Output:
    """An output file that expires with its source, and names it."""
    stem = source.filename.split(".", 1)[0] or source.id
    record = FileRecord(
        id=ids.new(ids.FILE),
        project_id=source.project_id,
        created_at=ids.now_s(),
        filename=f"{stem}.{what}.jsonl",
        purpose=purpose,
        bytes=cleaned.bytes,
        sha256=cleaned.sha256,
        status=FileStatus.PROCESSED,
        expires_at=source.expires_at,
        rows=cleaned.rows,
        derived_from=source.id,
        cleaning=task.id,
        **more,
    )
    return Output(record, Path(cleaned.path))
