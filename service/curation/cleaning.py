"""Run cleanings: write new files and a diff that describes each affected row."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio.client import Pipeline

from service.config import Settings
from service.core import ids
from service.core.records import Missing
from service.curation.child_runner import Desk, DeskFailed
from service.curation.records import Task, Tasks, TaskSuperseded
from service.curation.scratch import fetch
from service.datasets.cleaning.options import CleanOptions
from service.datasets.contract import CleanResult, CleanSpec, OutputFile
from service.datasets.facts import canonical_facts
from service.files.records import FileRecord, Files, FileStatus, Purpose

log = logging.getLogger(__name__)


class MakeCleaning:
    """Executes cleaning tasks."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._desk = Desk(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Clean the file; output files and task state are committed together. Raises DeskFailed."""
        options = dict(task.options)
        given = options.pop("format", None) or file.format
        spec = CleanSpec(
            path=await fetch(self._files.storage, file, folder / "content"),
            out=folder / "out",
            format=self._desk.format_of(given),
            options=msgspec.convert(options, CleanOptions),
            result=folder / "result.json",
        )
        made = await self._desk.run(spec)
        if made.train.rows == 0:
            raise DeskFailed(
                "nothing_left", "No rows are left after the cleaning; the report shows why."
            )
        await self._keep(task, file, made)

    async def _keep(self, task: Task, file: FileRecord, made: CleanResult) -> None:
        row_format = made.source.facts.row_format
        found = msgspec.to_builtins(canonical_facts(made.train.bytes, row_format))
        data = {"row_format": row_format, "found": found}
        outputs = {
            "training_file": _record(file, made.train, "clean", Purpose.FINE_TUNE, data),
            "diff_file": _record(file, made.diff, "diff", Purpose.USER_DATA, {}),
        }
        paths = {"training_file": made.train.path, "diff_file": made.diff.path}
        if made.validation is not None and made.validation.rows:
            outputs["validation_file"] = _record(
                file, made.validation, "validation", Purpose.FINE_TUNE, data
            )
            paths["validation_file"] = made.validation.path
        result = {
            **{name: record.id for name, record in outputs.items()},
            "source_rows": made.source.rows,
            "training_rows": made.train.rows,
            "validation_rows": made.validation.rows if made.validation else 0,
            "dropped": made.dropped,
            "changed": made.changed,
            "changed_rows": made.changed_rows,
        }
        await self._store([(outputs[name], Path(path)) for name, path in paths.items()])
        await self._finish(task, result, list(outputs.values()))

    async def _store(self, files: list[tuple[FileRecord, Path]]) -> None:
        try:
            for record, path in files:
                await self._files.storage.put_file(record.content_key, path)
                await self._files.put_manifest(record)
        except BaseException:
            await self._discard([record for record, _ in files])
            raise

    async def _finish(self, task: Task, result: dict[str, Any], records: list[FileRecord]) -> None:
        def also(pipe: Pipeline) -> None:
            for record in records:
                self._files.write_new(pipe, record)

        try:
            await self._tasks.finish(task, result=result, also=also)
        except (Missing, TaskSuperseded):
            await self._discard(records)
            raise
        except BaseException:
            # Redis may have committed the outcome, or may still do so, so the files may be in use.
            log.warning("%s: unknown whether it ended, so its files are kept", task.id)
            raise

    async def _discard(self, records: list[FileRecord]) -> None:
        for record in records:
            await self._files.storage.delete_prefix(record.folder)


def _record(
    source: FileRecord, made: OutputFile, what: str, purpose: Purpose, more: dict[str, Any]
) -> FileRecord:
    """A record for an output file. It expires with its source; its rows are already valid."""
    stem = source.filename.split(".", 1)[0] or source.id
    return FileRecord(
        id=ids.new(ids.FILE),
        project_id=source.project_id,
        created_at=ids.now_s(),
        filename=f"{stem}.{what}.jsonl",
        purpose=purpose,
        bytes=made.bytes,
        sha256=made.sha256,
        status=FileStatus.PROCESSED,
        expires_at=source.expires_at,
        rows=made.rows,
        canonical=made.sha256 if purpose is Purpose.FINE_TUNE else None,
        **more,
    )
