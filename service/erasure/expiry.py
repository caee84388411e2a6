"""Deletions of what has expired, by the reconciler, with receipts and entries in the audit log."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from service.erasure.eraser import Eraser
from service.erasure.records import EXPIRED
from service.erasure.results import ResultEraser
from service.exports.records import Exports
from service.files.records import Files
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.audit_trail import SYSTEM, Trail


class Expiry:
    """Deletes files and exports that have expired."""

    def __init__(
        self, files: Files, exports: Exports, eraser: Eraser, results: ResultEraser
    ) -> None:
        self._files = files
        self._exports = exports
        self._eraser = eraser
        self._results = results

    async def sweep(self, now_s: int) -> int:
        """Delete all that has expired, and return the number. Raises REDIS_ERRORS."""
        files = await self._files.expired(now_s)
        for file in files:
            with _recorded(AuditEvent.FILE_DELETED, file.project_id):
                await self._eraser.erase_file(file, EXPIRED, cascade=False)
        exports = await self._exports.expired(now_s)
        for export in exports:
            with _recorded(AuditEvent.EXPORT_DELETED, export.project_id):
                await self._results.erase_export(export, EXPIRED)
        return len(files) + len(exports)


@contextlib.contextmanager
def _recorded(event: AuditEvent, project_id: str) -> Iterator[None]:
    """Record the transactions in the block as those of the service."""
    with audit_trail.following(Trail(event, SYSTEM, project_id=project_id)):
        yield
