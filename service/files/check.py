"""The cpu task after an upload: is every line what a trainer can learn from?"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

from service.config import Settings
from service.core import ids, metrics
from service.core.leases import Held, Leases
from service.core.records import Missing
from service.core.storage import StorageMissing
from service.datasets import ValidationReport, validate_chat_file
from service.files.records import FileRecord, Files, FileStatus

_SHOWN = 3


class CheckFile:
    """`check_file`: uploaded → processed, or error with the lines at fault."""

    def __init__(self, files: Files, leases: Leases, settings: Settings) -> None:
        self._files = files
        self._leases = leases
        self._scratch = settings.scratch

    async def run(self, _ctx: dict[str, Any], project_id: str, file_id: str, attempt: int) -> None:
        """Run the task; a file that is gone or checked already is left alone."""
        try:
            async with self._leases.hold(file_id, attempt):
                record = await self._files.get(project_id, file_id, ids.now_s())
                if record is None or record.attempt != attempt:
                    return
                if record.status is FileStatus.UPLOADED:
                    await self._check(record)
        except (Held, Missing, StorageMissing):
            return  # another worker has it, or it was deleted meanwhile

    async def _check(self, record: FileRecord) -> None:
        folder = self._scratch / record.id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            path = folder / "content"
            await self._files.storage.get_file(record.content_key, path)
            report = await asyncio.to_thread(_report, path)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        status = FileStatus.PROCESSED if report.ok else FileStatus.ERROR
        await self._files.finish_check(
            record,
            status,
            rows=report.valid_rows,
            details=None if report.ok else words(report),
        )
        metrics.FILES_CHECKED.labels(status).inc()


def _report(path: Path) -> ValidationReport:
    return validate_chat_file(path)


def words(report: ValidationReport) -> str:
    """The first faults, each with its line and place, and how many there are in all."""
    faults = [i for i in report.issues if i.severity == "error"]
    shown = [
        (f"Line {i.line}" + (f", {i.pointer}" if i.pointer else "") + ": " if i.line else "")
        + i.message
        for i in faults[:_SHOWN]
    ]
    more = report.errors - len(shown)
    tail = f" And {more} more." if more > 0 else ""
    return " ".join(shown) + tail
