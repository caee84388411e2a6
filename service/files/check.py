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
from service.datasets import ValidationReport
from service.datasets.spec import TaskSpec
from service.files import desk
from service.files.records import FileRecord, Files, FileStatus

_SHOWN = 3


class CheckFile:
    """`check_file`: uploaded → processed, or error with the lines at fault."""

    def __init__(self, files: Files, leases: Leases, settings: Settings) -> None:
        self._files = files
        self._leases = leases
        self._scratch = settings.scratch
        self._timeout_s = settings.validate_timeout_s

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
            status, rows, details = await self._judge(path, folder)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await self._files.finish_check(record, status, rows=rows, details=details)
        metrics.FILES_CHECKED.labels(status).inc()

    async def _judge(self, path: Path, folder: Path) -> tuple[FileStatus, int, str | None]:
        spec = TaskSpec(action="validate", path=path, result=folder / "report.json")
        try:
            report = await desk.run(spec, ValidationReport, timeout_s=self._timeout_s)
        except desk.DeskFailed as e:
            return FileStatus.ERROR, 0, e.message
        if report.ok:
            return FileStatus.PROCESSED, report.valid_rows, None
        return FileStatus.ERROR, report.valid_rows, words(report)


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
