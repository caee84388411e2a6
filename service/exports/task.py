"""The `export_model` task: take an attempt under a lease, and end the export or hand it back."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from service.core import ids
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS
from service.core.storage import QUOTA, StorageError, StorageFull, StorageMissing
from service.exporting import Evaluation, ExportSpec, Progress, Reference
from service.exports import archive, child, lifecycle, references
from service.exports.archive import Archive
from service.exports.child import ExportFailed
from service.exports.lifecycle import ExportSuperseded
from service.exports.records import ExportError, ExportProgress, ExportRecord, Exports
from service.files.curation.child_runner import DeskFailed
from service.files.curation.scratch import scratch_folder
from service.inference.background.calls import ModelGone
from service.inference.background.engine_task import CancelableTask, Resources
from service.jobs.evaluation.examples import fetch_data
from service.jobs.evaluation.job_data import FileGone
from service.jobs.evaluation.records import Evaluations
from service.jobs.records import Jobs
from service.models.catalogue import BaseModelEntry
from service.training.contract.failures import TrainingFailure

log = logging.getLogger(__name__)
_PROGRESS_EVERY_S: Final = 1.0
_DISK_FULL: Final = "disk_full"
_FREE_SPACE: Final = "The operator must free space before you try again."


class ExportModel(CancelableTask[ExportRecord]):
    """Exports trained models on this worker, one at a time: each may need the model's memory."""

    superseded = ExportSuperseded

    def __init__(self, jobs: Jobs, resources: Resources) -> None:
        super().__init__(resources)
        self._jobs = jobs
        self._exports = Exports(jobs.redis)
        self._evaluations = Evaluations(jobs.redis)
        self._turn = asyncio.Semaphore(1)

    async def _find(self, project_id: str, subject: str) -> ExportRecord | None:
        return await self._exports.get(project_id, subject)

    async def _hand_back(self, record: ExportRecord) -> None:
        after = await self._exports.change(record, _own(record, lifecycle.hand_back))
        await self._exports.enqueue(after)

    async def _clear(self, record: ExportRecord) -> None:
        await self._exports.sweep_again(record)

    async def _work(self, record: ExportRecord) -> None:
        async with self._turn:
            record = await self._exports.change(record, _own(record, lifecycle.start))
            log.info("%s: attempt %d begins", record.id, record.attempt)
            await self._run(record)

    async def _run(self, record: ExportRecord) -> None:
        try:
            made, proof = await self._export(record)
        except ExportFailed as e:
            await self._fail(record, e.error, e.proof)
        except ModelGone as e:
            await self._fail(record, ExportError(code=e.code, message=e.message))
        except (*REDIS_ERRORS, StorageError, Missing, ExportSuperseded):
            raise  # continued by another attempt, or no longer relevant
        except Exception:
            # An internal error: report it once instead of retrying forever.
            log.exception("%s failed", record.id)
            message = f"The service failed on this export. Give the operator its ID: {record.id}."
            await self._fail(record, ExportError(code="internal_error", message=message))
        else:
            now_s = ids.now_s()
            await self._exports.change(
                record,
                _own(
                    record,
                    lifecycle.succeed,
                    now_s,
                    key=made.key,
                    bytes=made.bytes,
                    sha256=made.sha256,
                    proof=proof,
                ),
            )

    async def _fail(
        self, record: ExportRecord, error: ExportError, proof: dict[str, Any] | None = None
    ) -> None:
        log.warning("%s failed: %s", record.id, error.code)
        now_s = ids.now_s()
        await self._exports.change(record, _own(record, lifecycle.fail, error, now_s, proof))

    async def _export(self, record: ExportRecord) -> tuple[Archive, dict[str, Any]]:
        """Write the artifact, prove it and store its archive. Raises ExportFailed."""
        entry = await self._served(record)
        note = _Noting(self._exports, record)
        with _full_disk_reported():
            async with scratch_folder(self._settings.scratch / record.id) as folder:
                await self._storage.delete_prefix(record.folder)  # of attempts that were lost
                await self._fetch_adapter(record, folder / "adapter")
                asked = await self._references(record, entry, folder, note)
                spec = ExportSpec.model_validate(
                    {
                        "format": record.format,
                        "quantization": record.quantization,
                        "context_length": entry.context_length,
                        "name": record.model,
                        "base_model": record.base_model,
                        "license": entry.license,
                        "languages": entry.languages,
                        "evaluation": await self._evaluation(record),
                        "signing_key": self._settings.export_signing_key,
                        "base_model_path": entry.path,
                        "adapter_path": folder / "adapter",
                        "output_dir": folder / "artifact",
                        "work_dir": folder / "work",
                        "references": asked,
                        "threads": max(1, (os.cpu_count() or 1) // 2),
                    }
                )
                result = await child.run(spec, folder, note)
                await note(Progress(step="packing", done=0, total=1))
                await self._served(record)  # nothing is stored for a model that was deleted
                made = await archive.store(
                    self._storage,
                    f"{record.folder}/{record.attempt_name}.tar",
                    spec.output_dir,
                    record.id,
                    record.created_at,
                )
        return made, result.proof.model_dump()

    async def _served(self, record: ExportRecord) -> BaseModelEntry:
        """Return the base model. Raises ExportFailed if no engine serves it, and ModelGone."""
        if await self._registry.find(record.project_id, record.model) is None:
            raise ModelGone(record.model)
        entry = self._registry.catalogue.get(record.base_model)
        if entry is None or record.base_model not in self._settings.upstreams:
            message = f"No engine serves the base model {record.base_model}, so the export cannot "
            raise ExportFailed("not_served", f"{message}be compared with its answers. Start one.")
        return entry

    async def _fetch_adapter(self, record: ExportRecord, target: Path) -> None:
        try:
            manifest = await self._storage.get_folder(record.artifact, target)
        except StorageMissing as e:
            raise ExportFailed("artifact_missing", "The adapter is not in storage.") from e
        if manifest.digest != record.digest:
            message = "The adapter in storage does not match the registered one."
            raise ExportFailed("artifact_changed", message)

    async def _references(
        self, record: ExportRecord, entry: BaseModelEntry, folder: Path, note: _Noting
    ) -> list[Reference]:
        questions = await self._held_out(record, folder)
        questions = questions or references.general_questions(entry.languages)
        await note(Progress(step="asking", done=0, total=len(questions)))
        calls = self._access.calls(record.project_id, record.key_id)
        try:
            found = await references.ask(calls, record.model, questions)
        except references.EngineAway as e:
            message = f"The engine of {record.base_model} gave no answers: {e}."
            raise ExportFailed("engine_unavailable", message) from e
        if not found:
            message = f"The engine of {record.base_model} returned no answer with its tokens."
            raise ExportFailed("engine_unavailable", message)
        return found

    async def _evaluation(self, record: ExportRecord) -> Evaluation | None:
        """Return the result of the job's evaluation; None if there is none."""
        if record.job_id is None:
            return None
        found = await self._evaluations.get(record.project_id, record.job_id)
        if found is None or found.verdict is None or found.model != record.model:
            return None  # or of another checkpoint
        return Evaluation(
            verdict=found.verdict["kind"],
            sentence=found.verdict["sentence"],
            figures=found.figures or {},
        )

    async def _held_out(self, record: ExportRecord, folder: Path) -> list[references.Question]:
        """Return some of the job's held-out rows; none if they no longer exist."""
        if record.job_id is None:
            return []
        job = await self._jobs.get(record.project_id, record.job_id)
        if job is None:
            return []
        try:
            data = await fetch_data(job, self._files, folder)
        except (FileGone, DeskFailed, TrainingFailure) as e:
            log.info("%s: no held-out rows: %s", record.id, type(e).__name__)
            return []
        return references.held_out_questions(data.held_out)


class _Noting:
    """Writes progress to the record, at most once a second for each step."""

    def __init__(self, exports: Exports, record: ExportRecord) -> None:
        self._exports = exports
        self._record = record
        self._step = ""
        self._at_s = 0.0

    async def __call__(self, progress: Progress) -> None:
        now_s = time.monotonic()
        if progress.step == self._step and now_s - self._at_s < _PROGRESS_EVERY_S:
            return
        self._step, self._at_s = progress.step, now_s
        shown = ExportProgress(step=progress.step, done=progress.done, total=progress.total)
        change = _own(self._record, lifecycle.advance, shown)
        await self._exports.change(self._record, change)


def _own(
    record: ExportRecord, change: Callable[..., ExportRecord], *args: Any, **fields: Any
) -> Callable[[ExportRecord], ExportRecord]:
    """Return a change that is made only while the record is that of our own attempt."""
    return lambda current: change(
        lifecycle.same_attempt(current, record), record.attempt, *args, **fields
    )


@contextlib.contextmanager
def _full_disk_reported() -> Iterator[None]:
    """Convert errors of a full disk or storage to ExportFailed."""
    try:
        yield
    except DeskFailed as e:  # of the scratch folder
        raise ExportFailed(e.code if e.code == QUOTA else _DISK_FULL, e.message) from e
    except StorageFull as e:
        raise ExportFailed(_DISK_FULL, f"The service's storage is full. {_FREE_SPACE}") from e
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise
        raise ExportFailed(_DISK_FULL, f"The worker's disk is full. {_FREE_SPACE}") from e
