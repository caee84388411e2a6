"""Deletions of what was made with models: exports, evals and the runs of evals."""

from __future__ import annotations

from functools import partial

from service.erasure.deletions import Deletions
from service.erasure.records import Subject
from service.evals.records import EvalRecord, Evals, RunRecord
from service.exports.records import ExportRecord, Exports


class ResultEraser:
    """Deletes exports, evals and runs with all their bytes, and leaves receipts.

    Each method returns the ID of the receipt, or None if the object is gone.
    """

    def __init__(self, exports: Exports, evals: Evals, deletions: Deletions) -> None:
        self._exports = exports
        self._evals = evals
        self._deletions = deletions

    async def erase_export(self, record: ExportRecord, key_id: str) -> str | None:
        """Delete an export with its archive. Its worker stops."""
        known = {record.key: record.sha256} if record.key and record.sha256 else {}
        erasure = await self._deletions.planned(
            record.project_id,
            Subject.EXPORT,
            record.id,
            key_id,
            folders=(record.folder,),
            leases=(record.id,),
            known=known,
        )
        if not await self._exports.delete(record, partial(self._deletions.add, record=erasure)):
            return None
        await self._deletions.try_to_complete(erasure)
        return erasure.id

    async def erase_eval(self, record: EvalRecord, key_id: str) -> str | None:
        """Delete an eval with all its runs and their output items. Runs in progress stop."""
        runs = self._evals.runs.collection(record.id)
        found = await runs.get_many(record.project_id, await runs.ids(record.project_id))
        erasure = await self._deletions.planned(
            record.project_id,
            Subject.EVAL,
            record.id,
            key_id,
            folders=(f"{record.project_id}/evals/{record.id}",),
            leases=tuple(run.subject for run in found if not run.is_final),
            known={},
        )
        if not await self._evals.delete(record, partial(self._deletions.add, record=erasure)):
            return None
        await self._evals.runs.remove_all(record.project_id, record.id)
        await self._deletions.try_to_complete(erasure)
        return erasure.id

    async def erase_run(self, run: RunRecord, key_id: str) -> str | None:
        """Delete a run with its output items. A run in progress stops."""
        erasure = await self._deletions.planned(
            run.project_id,
            Subject.EVAL_RUN,
            run.id,
            key_id,
            folders=(run.folder,),
            leases=() if run.is_final else (run.subject,),
            known={},
        )
        added = partial(self._deletions.add, record=erasure)
        if not await self._evals.runs.remove(run.ref, added):
            return None
        await self._deletions.try_to_complete(erasure)
        return erasure.id
