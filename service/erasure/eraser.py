"""Deletes files, models, exports, evals and runs with all their bytes, and leaves receipts.

The transaction that deletes an object's record adds its erasure, from which the receipt is made.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from functools import partial

from redis.asyncio.client import Pipeline

from service.core import clock
from service.core.errors import Conflict
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS, reply, text
from service.core.storage import StorageError
from service.erasure.deletions import Deletions
from service.erasure.lineage import Descendants, find_descendants
from service.erasure.records import EXPIRED, ErasureRecord, Subject
from service.evals.records import EvalRecord, Evals, RunRecord
from service.exports.records import ExportRecord, Exports
from service.files.records import FileRecord, Files
from service.files.schemas import FileDeleted
from service.jobs import lifecycle
from service.jobs.evaluation.records import Evaluations, labels_key
from service.jobs.records import JobRecord, Jobs, NewEvent
from service.models.records import ModelRecord
from service.models.registry import ModelRegistry, users_key
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.audit_trail import SYSTEM, Trail

log = logging.getLogger(__name__)


class Eraser:
    """Deletes objects. Methods that return a receipt's ID return None if the object is gone."""

    def __init__(
        self, files: Files, jobs: Jobs, registry: ModelRegistry, deletions: Deletions
    ) -> None:
        self._files = files
        self._storage = files.storage
        self._jobs = jobs
        self.registry = registry
        self._exports = Exports(files.redis)
        self._evals = Evals(files.redis)
        self._evaluations = Evaluations(files.redis)
        self.deletions = deletions

    async def erase_file(self, record: FileRecord, key_id: str, *, cascade: bool) -> FileDeleted:
        """Delete a file. With `cascade`, also the models, exports and evaluations of all jobs that
        read it; unfinished ones are cancelled.

        Raises Conflict if an alias points at one of the models. Nothing is deleted then.
        """
        found = await self._descendants(record)
        if not cascade:
            erasure = await self._erase_file(record, key_id, ())
            return FileDeleted(
                id=record.id,
                models=found.models,
                derived_files=found.files,
                receipts=[erasure.id],
            )
        await self.check(record, cascade=True)
        for job in found.jobs:
            await self._cancel(job)
        found = await self._descendants(record)  # a job may have stored another checkpoint
        receipts = [
            await self.erase_model(record.project_id, model, key_id) for model in found.models
        ]
        erasure = await self._erase_file(record, key_id, found.jobs)
        return FileDeleted(
            id=record.id,
            deleted_models=found.models,
            derived_files=found.files,
            receipts=[erasure.id, *filter(None, receipts)],
        )

    async def models_of(self, record: FileRecord) -> list[str]:
        """Return the names of the models and checkpoints whose jobs read the file."""
        return (await self._descendants(record)).models

    async def check(self, record: FileRecord, *, cascade: bool) -> None:
        """Raise Conflict if `erase_file` would refuse to delete the file."""
        if cascade:
            await self._check_aliases(record.project_id, await self.models_of(record))

    async def erase_model(self, project_id: str, name: str, key_id: str) -> str | None:
        """Delete a trained model and its exports. Raises ModelInUse."""
        record = await self.registry.get(project_id, name)
        if record is None:
            return None
        exports = await self._exports_of(project_id, name)
        erasure = await self.deletions.plan(
            project_id,
            Subject.MODEL,
            name,
            key_id,
            folders=(record.artifact, *(export.folder for export in exports)),
            leases=(*await self._evaluation_leases(record), *(export.id for export in exports)),
            digests={
                **await self._digests_of_folder(record.artifact),
                **{e.key: e.sha256 for e in exports if e.key and e.sha256},
            },
        )

        def together(pipe: Pipeline) -> None:
            self.deletions.add(pipe, record=erasure)
            if record.job_id is not None and not record.checkpoint:
                pipe.delete(labels_key(project_id, record.job_id))

        if await self.registry.delete(project_id, name, also=together) is None:
            return None
        for export in exports:
            await self._exports.delete(export)
        await self._remove_adapter(record)
        await self.deletions.try_to_complete(erasure)
        return erasure.id

    async def erase_export(self, record: ExportRecord, key_id: str) -> str | None:
        """Delete an export with its archive. Its worker stops."""
        erasure = await self.deletions.plan(
            record.project_id,
            Subject.EXPORT,
            record.id,
            key_id,
            folders=(record.folder,),
            leases=(record.id,),
            digests={record.key: record.sha256} if record.key and record.sha256 else {},
        )
        if not await self._exports.delete(record, partial(self.deletions.add, record=erasure)):
            return None
        await self.deletions.try_to_complete(erasure)
        return erasure.id

    async def erase_eval(self, record: EvalRecord, key_id: str) -> str | None:
        """Delete an eval with all its runs and their output items. Runs in progress stop."""
        runs = self._evals.runs.collection(record.id)
        found = await runs.get_many(record.project_id, await runs.ids(record.project_id))
        erasure = await self.deletions.plan(
            record.project_id,
            Subject.EVAL,
            record.id,
            key_id,
            folders=(f"{record.project_id}/evals/{record.id}",),
            leases=tuple(run.subject for run in found if not run.is_final),
            digests={},
        )
        if not await self._evals.delete(record, partial(self.deletions.add, record=erasure)):
            return None
        await self._evals.runs.remove_all(record.project_id, record.id)
        await self.deletions.try_to_complete(erasure)
        return erasure.id

    async def erase_run(self, run: RunRecord, key_id: str) -> str | None:
        """Delete a run with its output items. A run in progress stops."""
        erasure = await self.deletions.plan(
            run.project_id,
            Subject.EVAL_RUN,
            run.id,
            key_id,
            folders=(run.folder,),
            leases=() if run.is_final else (run.subject,),
            digests={},
        )
        added = partial(self.deletions.add, record=erasure)
        if not await self._evals.runs.remove(run.ref, added):
            return None
        await self.deletions.try_to_complete(erasure)
        return erasure.id

    async def erase_expired(self, now_s: int) -> int:
        """Delete all files and exports that have expired, and return their number.

        The audit log names the service as the actor. Raises REDIS_ERRORS.
        """
        files = await self._files.expired(now_s)
        for file in files:
            with _audited(AuditEvent.FILE_DELETED, file.project_id):
                await self.erase_file(file, EXPIRED, cascade=False)
        exports = await self._exports.expired(now_s)
        for export in exports:
            with _audited(AuditEvent.EXPORT_DELETED, export.project_id):
                await self.erase_export(export, EXPIRED)
        return len(files) + len(exports)

    async def _erase_file(
        self, record: FileRecord, key_id: str, jobs: Sequence[JobRecord]
    ) -> ErasureRecord:
        digests = {record.content_key: record.sha256}
        if record.canonical is not None:
            digests[record.canonical_key] = record.canonical
        evaluations = await self._evaluations.records.get_many(
            record.project_id, [job.id for job in jobs]
        )
        erasure = await self.deletions.plan(
            record.project_id,
            Subject.FILE,
            record.id,
            key_id,
            folders=(record.folder, *(f"{job.project_id}/jobs/{job.id}" for job in jobs)),
            leases=(
                *await self._files.writers(record),
                *(job.id for job in jobs),
                *(evaluation.subject for evaluation in evaluations),
            ),
            digests=digests,
        )
        for evaluation in evaluations:
            await self._evaluations.delete(evaluation)
        await self._files.delete(record, also=partial(self.deletions.add, record=erasure))
        await self.deletions.try_to_complete(erasure)
        return erasure

    async def _remove_adapter(self, record: ModelRecord) -> None:
        try:
            await self._storage.delete_prefix(record.artifact)
            await self.registry.leftovers.removed(record.artifact)
        except (*REDIS_ERRORS, StorageError) as e:
            # The model is already gone for all callers; only its files remain, and they are swept.
            log.warning("files of a deleted model cannot be removed from storage yet: %s", e)

    async def _digests_of_folder(self, folder: str) -> dict[str, str]:
        """Return the digests in a folder's manifest by key; none if there is no manifest."""
        try:
            manifest = await self._storage.manifest(folder)
        except StorageError:
            return {}
        return {f"{folder}/{entry.path}": entry.sha256 for entry in manifest.files}

    async def _descendants(self, record: FileRecord) -> Descendants:
        return await find_descendants(record, self._files, self._jobs, self.registry)

    async def _check_aliases(self, project_id: str, models: Sequence[str]) -> None:
        for model in models:
            aliases = await reply(self._files.redis.smembers(users_key(project_id, model)))
            if aliases:
                alias = min(text(name) for name in aliases)
                raise Conflict(
                    f"'{model}' was trained on the file and is in use by the alias '{alias}'. "
                    "Point the alias elsewhere or delete it first. Nothing was deleted.",
                    code="model_in_use",
                )

    async def _cancel(self, job: JobRecord) -> None:
        if job.is_final:
            return
        with contextlib.suppress(lifecycle.NotAllowed, Missing):  # it has just ended
            await self._jobs.change(
                job.project_id,
                job.id,
                lambda current: lifecycle.cancel(current, clock.now_s()),
                events=lambda _: [NewEvent(message="The job was cancelled: its file was erased")],
            )

    async def _exports_of(self, project_id: str, model: str) -> list[ExportRecord]:
        every = await self._exports.records.ids(project_id)
        found = await self._exports.records.get_many(project_id, every)
        return [export for export in found if export.model == model]

    async def _evaluation_leases(self, record: ModelRecord) -> tuple[str, ...]:
        """Return the lease of an evaluation that may still write below the adapter's folder."""
        if record.job_id is None:
            return ()
        found = await self._evaluations.get(record.project_id, record.job_id)
        return () if found is None or found.is_final else (found.subject,)


@contextlib.contextmanager
def _audited(event: AuditEvent, project_id: str) -> Iterator[None]:
    """Record the transactions in the block as those of the service."""
    with audit_trail.following(Trail(event, SYSTEM, project_id=project_id)):
        yield
