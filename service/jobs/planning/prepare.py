"""The CPU task that prepares a new job: it validates the files and resolves `auto` values."""

from __future__ import annotations

from typing import Any

from service.config import Settings
from service.core import ids, logs
from service.core.leases import Held, Leases
from service.core.queue import Retry
from service.core.records import Missing
from service.curation.measure import measure_task, measures_of
from service.curation.records import Tasks, TaskState
from service.datasets.contract import Measures
from service.files.records import FileRecord, Files, FileStatus
from service.jobs import lifecycle
from service.jobs.attempt.timing import waited
from service.jobs.outcomes import fail
from service.jobs.planning.hyperparameters import Base, Data, resolve
from service.jobs.planning.machines import Planned, planned, shape_of, trainers
from service.jobs.planning.memory_plan import Training
from service.jobs.planning.tool_support import CODE as TOOLS_CODE
from service.jobs.planning.tool_support import tools_refusal
from service.jobs.records import Chosen, JobFailure, JobRecord, Jobs, NewEvent, Status
from service.jobs.scheduling.dispatch import Dispatcher
from service.models.catalogue import BaseModelEntry, Catalogue
from service.training.contract.methods import METHODS

_WAIT_FOR_FILE_S = 0.5


class NotFit(Exception):
    """The job cannot run; `failure` has the reason."""

    def __init__(self, code: str, message: str, param: str) -> None:
        super().__init__(message)
        self.failure = JobFailure(code=code, message=message, param=param)


class PrepareJob:
    """The `prepare_job` task: takes a job from `validating_files` to `queued` or `failed`."""

    def __init__(
        self,
        jobs: Jobs,
        files: Files,
        catalogue: Catalogue,
        leases: Leases,
        settings: Settings,
        dispatcher: Dispatcher,
    ) -> None:
        self._jobs = jobs
        self._files = files
        self._catalogue = catalogue
        self._leases = leases
        self._tasks = Tasks(files.redis)
        self._tokens_at_once = settings.tokens_at_once
        self._min_examples = settings.min_examples
        self._dispatcher = dispatcher

    async def run(self, _ctx: dict[str, Any], project_id: str, job_id: str, attempt: int) -> None:
        """Run the task. It is retried while a file is still processing."""
        with logs.bound(logs.job_id, job_id):
            try:
                async with self._leases.hold(job_id, attempt):
                    await self._prepare(project_id, job_id, attempt)
            except (Held, Missing, lifecycle.AttemptSuperseded):
                return

    async def _prepare(self, project_id: str, job_id: str, attempt: int) -> None:
        job = await self._jobs.get(project_id, job_id)
        if job is None or job.status is not Status.VALIDATING or job.attempt != attempt:
            return
        try:
            training = await self._checked(job, job.training_file, "training_file")
            if job.validation_file is not None:
                await self._checked(job, job.validation_file, "validation_file")
            await self._queue(job, training)
        except NotFit as e:
            await fail(self._jobs, job, None, e.failure)

    async def _checked(self, job: JobRecord, file_id: str, param: str) -> FileRecord:
        """Return the valid file. Raises NotFit if it is invalid, Retry while it is processing."""
        record = await self._files.get(job.project_id, file_id, ids.now_s())
        if record is None:
            raise NotFit("file_not_found", f"The file {file_id} was deleted.", param)
        if record.status is FileStatus.UPLOADED:
            raise Retry(defer=_WAIT_FOR_FILE_S)
        if record.status is FileStatus.ERROR:
            raise NotFit(
                f"invalid_{param}",
                record.status_details or "The file is invalid",
                param,
            )
        expected = METHODS[job.method].row_format
        if record.row_format != expected:
            raise NotFit(
                f"invalid_{param}",
                f"The file {file_id} holds rows of the {record.row_format} format; the method "
                f"'{job.method}' needs the {expected} format.",
                param,
            )
        rows = record.rows or 0
        if param == "training_file" and rows < self._min_examples:
            raise NotFit(
                "invalid_n_examples",
                f"Training file has {rows} example(s), but must have at least "
                f"{self._min_examples} examples",
                param,
            )
        return record

    async def _queue(self, job: JobRecord, training: FileRecord) -> None:
        entry = self._catalogue.get(job.model)
        if entry is None:
            raise NotFit(
                "model_not_found",
                f"The base model {job.model} is no longer offered.",
                "model",
            )
        measured = await self._measured(training, entry)
        if (refusal := tools_refusal(measured, job.model)) is not None:
            raise NotFit(TOOLS_CODE, refusal, "model")
        resolved = resolve(
            job.hyperparameters,
            method=job.method,
            data=Data(
                rows=training.rows or 0,
                longest=measured.longest if measured else None,
                p95=measured.p95 if measured else None,
            ),
            base=Base(entry.context_length, entry.parameters),
        )
        chosen = resolved.chosen
        there = await self._planned(job, chosen, measured, entry)
        events = [
            NewEvent(message="Files validated, moving job to queued state"),
            *(NewEvent(message=reason) for reason in resolved.reasons),
            *(NewEvent(message=words) for words in (there.words() if there else ())),
        ]
        await self._jobs.change(
            job.project_id,
            job.id,
            lambda current: lifecycle.prepare(
                current,
                chosen,
                ids.now_s(),
                tokens_at_once=there.plan.tokens_at_once if there else None,
                gradient_checkpointing=there.plan.gradient_checkpointing if there else False,
            ),
            events=lambda _: events,
        )
        waited("preparing", job, ids.now_s() - job.created_at)
        await self._dispatcher.dispatch()

    async def _planned(
        self, job: JobRecord, chosen: Chosen, measured: Measures | None, entry: BaseModelEntry
    ) -> Planned | None:
        """Return the plan for the roomiest worker. Raises NotFit if the job does not fit."""
        shape = shape_of(entry)
        if shape is None:
            return None
        longest = measured.longest if measured else None
        training = Training(chosen, job.method, longest, self._tokens_at_once)
        there = planned(training, shape, await trainers(self._jobs.redis))
        if there is not None and there.refusal is not None:
            raise NotFit("does_not_fit", there.refusal, "model")
        return there

    async def _measured(self, file: FileRecord, model: BaseModelEntry) -> Measures | None:
        """Return the row lengths in the model's tokens, or None if they cannot be measured.

        Raises Retry while the measurement is in progress.
        """
        task = await self._tasks.asked_for(measure_task(file, model))
        if task.state is TaskState.IN_PROGRESS:
            raise Retry(defer=_WAIT_FOR_FILE_S)
        return measures_of(task)
