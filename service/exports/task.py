"""The `export_model` task: take an attempt under a lease, and end the export or hand it back.

The artifact is written and proven by a child process, which is killed with its worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from service.core import clock
from service.core.child import Child, environment
from service.core.storage import QUOTA, StorageFull, StorageMissing
from service.exporting import (
    Evaluation,
    ExportSpec,
    Failed,
    Progress,
    Reference,
    Succeeded,
    parse_message,
)
from service.exports import archive, references
from service.exports.archive import Archive
from service.exports.records import ExportError, ExportProgress, ExportRecord, Exports, ExportStatus
from service.files.curation.dataset_process import DatasetTaskFailed, scratch_folder
from service.inference.background.calls import ModelGone, Resources
from service.jobs.evaluation.job_data import FileGone, fetch_data
from service.jobs.evaluation.labels.records import Labels
from service.jobs.evaluation.labels.review import read_reviewed
from service.jobs.evaluation.records import Evaluations
from service.jobs.records import Jobs
from service.models.catalogue import BaseModelEntry
from service.training.contract.failures import TrainingFailure
from service.work.task import CancelableTask

log = logging.getLogger(__name__)
_LIMIT_S: Final = 6 * 3600
_PROGRESS_EVERY_S: Final = 1.0
_DISK_FULL: Final = "disk_full"
_FREE_SPACE: Final = "The operator must free space before you try again."
# Engines and trainers use the GPUs.
_NO_GPU: Final = {"CUDA_VISIBLE_DEVICES": ""}

OnProgress = Callable[[Progress], Awaitable[None]]


class ExportFailed(Exception):
    """The export fails for a reason that its owner or the operator can change."""

    def __init__(
        self, code: str, message: str, *, proof: dict[str, Any] | None = None, **prompts: str | None
    ) -> None:
        super().__init__(code)
        self.error = ExportError.model_validate({"code": code, "message": message, **prompts})
        self.proof = proof


class ExportModel(CancelableTask[ExportRecord]):
    """Exports trained models on this worker, one at a time: each may need the model's memory."""

    failures = (ModelGone,)

    def __init__(self, jobs: Jobs, resources: Resources) -> None:
        self._exports = Exports(jobs.redis)
        super().__init__(self._exports, resources.leases)
        self._jobs = jobs
        self._evaluations = Evaluations(jobs.redis)
        self._labels = Labels(jobs.redis, resources.storage)
        self._files = resources.files
        self._registry = resources.registry
        self._storage = resources.storage
        self._settings = resources.settings
        self._access = resources.access
        self._one_at_a_time = asyncio.Semaphore(1)

    async def _clear(self, record: ExportRecord) -> None:
        await self._exports.sweep_again(record)

    async def _work(self, record: ExportRecord) -> None:
        async with self._one_at_a_time:
            in_progress = {"status": ExportStatus.IN_PROGRESS, "progress": None}
            record = await self._exports.change_own(
                record, lambda current: current.model_copy(update=in_progress)
            )
            log.info("%s: attempt %d begins", record.id, record.attempt)
            try:
                made, proof = await self._export(record)
            except ExportFailed as e:
                log.warning("%s failed: %s", record.id, e.error.code)
                await self._end(record, ExportStatus.FAILED, error=e.error, proof=e.proof)
            else:
                await self._end(
                    record,
                    ExportStatus.SUCCEEDED,
                    key=made.key,
                    bytes=made.bytes,
                    sha256=made.sha256,
                    proof=proof,
                )

    async def _end(self, record: ExportRecord, status: ExportStatus, **result: Any) -> None:
        await self._exports.change_own(
            record, lambda current: current.end(status, clock.now_s(), **result)
        )

    async def _export(self, record: ExportRecord) -> tuple[Archive, dict[str, Any]]:
        """Write the artifact, prove it and store its archive. Raises ExportFailed."""
        entry = await self._base_model(record)
        note = _ProgressWriter(self._exports, record)
        with _report_full_disk():
            async with scratch_folder(self._settings.scratch / record.id) as folder:
                await self._storage.delete_prefix(record.folder)  # of lost attempts
                await self._fetch_adapter(record, folder / "adapter")
                answers = await self._references(record, entry, folder, note)
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
                        "references": answers,
                        "threads": max(1, (os.cpu_count() or 1) // 2),
                    }
                )
                result = await run_export(spec, folder, note)
                await note(Progress(step="packing", done=0, total=1))
                await self._base_model(record)  # nothing is stored for a deleted model
                made = await archive.store(
                    self._storage,
                    f"{record.folder}/{record.attempt_name}.tar",
                    spec.output_dir,
                    record.id,
                    record.created_at,
                )
        return made, result.proof.model_dump()

    async def _base_model(self, record: ExportRecord) -> BaseModelEntry:
        """Return the base model. Raises ExportFailed if no engine serves it, and ModelGone."""
        if await self._registry.find(record.project_id, record.model) is None:
            raise ModelGone(record.model)
        entry = self._registry.catalogue.get(record.base_model)
        if entry is None or record.base_model not in self._settings.engine_urls:
            message = f"No engine serves the base model {record.base_model}, so the export cannot "
            raise ExportFailed(
                "model_not_served", f"{message}be compared with its answers. Start one."
            )
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
        self, record: ExportRecord, entry: BaseModelEntry, folder: Path, note: _ProgressWriter
    ) -> list[Reference]:
        questions = await self._held_out_questions(record, folder)
        questions = questions or references.general_questions(entry.languages)
        await note(Progress(step="asking", done=0, total=len(questions)))
        calls = self._access.calls(record.project_id, record.key_id)
        try:
            found = await references.ask(calls, record.model, questions)
        except references.EngineUnavailable as e:
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
        found = (await read_reviewed(found, self._labels, self._storage)).evaluation
        assert found.verdict is not None
        return Evaluation(
            verdict=found.verdict["kind"],
            sentence=found.verdict["sentence"],
            figures=found.figures or {},
        )

    async def _held_out_questions(
        self, record: ExportRecord, folder: Path
    ) -> list[references.Question]:
        """Return some of the job's held-out rows; none if they no longer exist."""
        if record.job_id is None:
            return []
        job = await self._jobs.get(record.project_id, record.job_id)
        if job is None:
            return []
        try:
            data = await fetch_data(job, self._files, folder)
        except (FileGone, DatasetTaskFailed, TrainingFailure) as e:
            log.info("%s: no held-out rows: %s", record.id, type(e).__name__)
            return []
        return references.held_out_questions(data.held_out)


class _ProgressWriter:
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
        await self._exports.change_own(
            self._record, lambda current: current.model_copy(update={"progress": shown})
        )


@contextlib.contextmanager
def _report_full_disk() -> Iterator[None]:
    """Convert errors of a full disk or storage to ExportFailed."""
    try:
        yield
    except DatasetTaskFailed as e:  # of the scratch folder
        raise ExportFailed(e.code if e.code == QUOTA else _DISK_FULL, e.message) from e
    except StorageFull as e:
        raise ExportFailed(_DISK_FULL, f"The service's storage is full. {_FREE_SPACE}") from e
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise
        raise ExportFailed(_DISK_FULL, f"The worker's disk is full. {_FREE_SPACE}") from e


async def run_export(spec: ExportSpec, folder: Path, on_progress: OnProgress) -> Succeeded:
    """Run an export in a child process and return its result. Raises ExportFailed.

    The spec and the log are written to `folder`. The process is killed when this is canceled.
    """
    file = folder / "spec.json"
    file.write_text(spec.model_dump_json(), "utf-8")
    child = await Child.start(
        [sys.executable, "-m", "service.exporting", str(file)],
        env={**environment(), **_NO_GPU},
        stderr=folder / "export.log",
    )
    try:
        async with asyncio.timeout(_LIMIT_S):
            outcome = await _follow(child, on_progress)
            code = await child.wait()
    except TimeoutError as e:
        message = f"The export took longer than {_LIMIT_S // 3600} hours and was ended."
        raise ExportFailed("timed_out", message) from e
    finally:
        await child.kill()
    if isinstance(outcome, Succeeded) and code == 0:
        return outcome
    raise _failure(outcome if isinstance(outcome, Failed) else None, code)


async def _follow(child: Child, on_progress: OnProgress) -> Succeeded | Failed | None:
    """Report the progress and return the last message; None if the process died before it."""
    async for line in child.lines():
        try:
            message = parse_message(line)
        except ValidationError:
            return None  # killed in the middle of a line
        if not isinstance(message, Progress):
            return message
        await on_progress(message)
    return None


def _failure(failed: Failed | None, code: int) -> ExportFailed:
    if failed is None:
        hint = " The system may have ended it because memory ran out." if code == -9 else ""
        message = f"The process of the export ended with {code} before its result.{hint}"
        return ExportFailed("process_died", message)
    return ExportFailed(
        failed.code,
        failed.message,
        proof=None if failed.proof is None else failed.proof.model_dump(),
        expected_prompt=failed.expected_prompt,
        rendered_prompt=failed.rendered_prompt,
    )
