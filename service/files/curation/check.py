"""The `check_file` task after an upload: detects the format of a file, and validates every row.

A training file in any supported format is converted to canonical rows, which are stored next to its
content. A file of eval items is only validated. If the same bytes were checked before, the outcome
is copied.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from service.config import Settings
from service.core import clock
from service.core.leases import Leases
from service.core.storage import StorageMissing
from service.datasets.checks.validate import ValidationReport
from service.datasets.contract.tasks import ConvertResult, ConvertSpec, EvalItemsSpec
from service.files.curation.dataset_process import (
    DatasetProcess,
    DatasetTaskFailed,
    fetch,
    scratch_folder,
)
from service.files.records import CheckOutcome, FileRecord, Files, FileStatus, Purpose
from service.work.task import ShortTask

_SHOWN = 3  # errors in the status details


class CheckFile(ShortTask[FileRecord]):
    """The `check_file` task: moves a file from uploaded to processed, or to error with details."""

    failures = (DatasetTaskFailed,)

    def __init__(self, files: Files, leases: Leases, settings: Settings) -> None:
        super().__init__(files.checks, leases)
        self._files = files
        self._scratch = settings.scratch
        self._dataset_process = DatasetProcess(settings)

    async def _work(self, record: FileRecord) -> None:
        await self._files.checks.finish(record, await self._outcome(record))

    async def _fail(self, record: FileRecord, error: Any) -> None:
        certain = isinstance(error, DatasetTaskFailed) and error.certain
        outcome = CheckOutcome(FileStatus.ERROR, error.message, certain=certain)
        await self._files.checks.finish(record, outcome)

    async def _clear(self, record: FileRecord) -> None:
        if await self._files.records.get(record.project_id, record.id) is None:
            # The file was deleted in the meantime: remove what was stored since.
            await self._files.storage.delete_prefix(record.folder)

    async def _outcome(self, record: FileRecord) -> CheckOutcome:
        twin = await self._files.checked_twin(record, clock.now_s())
        if twin is not None and (outcome := await self._copy_outcome(twin, record)) is not None:
            return outcome
        async with scratch_folder(self._scratch / record.id) as folder:
            return await self._check(record, folder)

    async def _copy_outcome(self, twin: FileRecord, record: FileRecord) -> CheckOutcome | None:
        """Copy the twin's canonical rows, and return its outcome; None if the rows are gone."""
        outcome = CheckOutcome.from_record(twin)
        if twin.canonical is not None and twin.canonical_key != twin.content_key:
            target = record.model_copy(update=outcome.fields()).canonical_key
            try:
                await self._files.storage.copy(twin.canonical_key, target)
            except StorageMissing:
                return None
        return outcome

    async def _check(self, record: FileRecord, folder: Path) -> CheckOutcome:
        if record.purpose is Purpose.EVALS:
            return await self._check_items(record, folder)
        canonical = folder / "canonical.jsonl"
        spec = ConvertSpec(
            path=await fetch(self._files.storage, record, folder / "content"),
            out=canonical,
            format=self._dataset_process.format_of(record.read_options),
            result=folder / "result.json",
        )
        outcome = _outcome_of(await self._dataset_process.run(spec))
        if outcome.canonical is not None:
            kept = record.model_copy(update=outcome.fields())
            if kept.canonical_key != kept.content_key:
                await self._files.storage.put_file(kept.canonical_key, canonical)
        return outcome

    async def _check_items(self, record: FileRecord, folder: Path) -> CheckOutcome:
        spec = EvalItemsSpec(
            path=await fetch(self._files.storage, record, folder / "content"),
            result=folder / "result.json",
        )
        report = await self._dataset_process.run(spec)
        return CheckOutcome(
            status=FileStatus.PROCESSED if report.ok else FileStatus.ERROR,
            status_details=None if report.ok else _list_errors(report),
            rows=report.valid_rows,
            warnings=report.warnings,
        )


def _outcome_of(converted: ConvertResult) -> CheckOutcome:
    report = converted.validation
    return CheckOutcome(
        status=FileStatus.PROCESSED if report.ok else FileStatus.ERROR,
        status_details=None if report.ok else describe_errors(report),
        rows=report.valid_rows,
        warnings=report.warnings,
        found=msgspec.to_builtins(converted.facts),
        row_format=converted.facts.row_format,
        canonical=converted.sha256 if report.ok else None,
    )


def describe_errors(report: ValidationReport) -> str:
    """Return the first errors with their lines, the number of the others, and a remedy."""
    if not report.valid_rows:
        return _list_errors(report)
    fixes = [issue.fix for issue in report.issues if issue.severity == "error"]
    if fixes and report.valid_rows == report.rows:  # the error is not in a row
        return f"{_list_errors(report)} {fixes[0]}"
    return (
        f"{_list_errors(report)} The file's report lists them all; fix them, or drop the broken "
        "rows with a cleaning (POST /v1/dataset_cleanings)."
    )


def _list_errors(report: ValidationReport) -> str:
    errors = [i for i in report.issues if i.severity == "error"]
    shown = [
        (f"Line {i.line}" + (f", {i.pointer}" if i.pointer else "") + ": " if i.line else "")
        + i.message
        for i in errors[:_SHOWN]
    ]
    if (more := report.errors - len(shown)) > 0:
        shown.append(f"And {more} more.")
    return " ".join(shown)
