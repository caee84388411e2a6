"""The CPU task that prepares a new job: it validates the files and resolves `auto` values."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from service.config import Settings
from service.core import clock, logs
from service.core.leases import Held, Leases
from service.core.queue import Retry
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError
from service.files.records import Files
from service.jobs import lifecycle
from service.jobs.attempt.progress import record_wait
from service.jobs.dispatch import Dispatcher
from service.jobs.planning.job_plan import JobPlan, resolve_and_plan
from service.jobs.planning.notes import Note
from service.jobs.planning.training_files import CannotTrain, InProgress, InputFiles
from service.jobs.records import JobFailure, JobRecord, Jobs, NewEvent, Status
from service.jobs.recovery import fail
from service.models.catalogue import Catalogue
from service.models.model_folder import folder_fault
from service.training.contract.methods import METHODS
from service.work.records import AttemptSuperseded

log = logging.getLogger(__name__)
_WAIT_FOR_FILE_S = 0.5
_WAIT_FOR_MODEL_S = 5.0
_AWAITS_MODEL = NewEvent(
    message="The files of the base model are not complete yet. The job waits until they are; if "
    "that takes long, give the operator the job's ID",
    level="warn",
    data={"code": "awaits_model"},
)


class _ModelIncomplete(Exception):
    """The folder of the base model is missing or incomplete; the message says what it lacks."""


class PrepareTask:
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
        self._inputs = InputFiles(files, settings)
        self._catalogue = catalogue
        self._leases = leases
        self._tokens_at_once = settings.tokens_at_once
        self._dispatcher = dispatcher

    async def run(self, _ctx: dict[str, Any], project_id: str, job_id: str, attempt: int) -> None:
        """Run the task. It is retried while a file is processed, or the base model copied."""
        with logs.bound(logs.job_id, job_id):
            try:
                async with self._leases.hold(job_id, attempt):
                    await self._prepare(project_id, job_id, attempt)
            except (Held, Missing, AttemptSuperseded):
                return

    async def _prepare(self, project_id: str, job_id: str, attempt: int) -> None:
        job = await self._jobs.get(project_id, job_id)
        if job is None or job.status is not Status.VALIDATING or job.attempt != attempt:
            return
        try:
            plan = await self._plan(job)
            overlap = await self._inputs.check_overlap(job)
        except InProgress as e:
            raise Retry(defer=_WAIT_FOR_FILE_S) from e
        except _ModelIncomplete as e:
            await self._note_awaits_model(job, e)
            raise Retry(defer=_WAIT_FOR_MODEL_S) from e
        except CannotTrain as e:
            await fail(self._jobs, job, e.failure)
            return
        except (*REDIS_ERRORS, StorageError, Missing):
            raise  # retried later, or no longer relevant
        except Exception:
            # An internal error: report it once instead of retrying forever.
            log.exception("the preparation failed")
            message = "The service failed to prepare this job. Give the operator the job's ID."
            await fail(self._jobs, job, JobFailure(code="internal_error", message=message))
            return
        await self._queue(job, plan, overlap)

    async def _plan(self, job: JobRecord) -> JobPlan:
        """Return the plan of the job.

        Raises InProgress, _ModelIncomplete, or CannotTrain if no worker can run it.
        """
        entry = self._catalogue.get(job.model)
        if entry is None:
            message = f"The base model {job.model} is no longer offered."
            raise CannotTrain("model_not_found", message, "model")
        # Before the rows are measured, which needs its tokenizer.
        if (fault := await asyncio.to_thread(folder_fault, entry.path)) is not None:
            raise _ModelIncomplete(fault)
        inputs = await self._inputs.check(job, entry)
        plan = await resolve_and_plan(
            job, entry, inputs, redis=self._jobs.redis, tokens_at_once=self._tokens_at_once
        )
        if plan.machine is not None and plan.machine.refusal is not None:
            raise CannotTrain("does_not_fit", plan.machine.refusal, "model")
        return plan

    async def _note_awaits_model(self, job: JobRecord, fault: _ModelIncomplete) -> None:
        """Add an event, once, that the job waits for its base model."""
        if job.awaits_model:
            return
        log.warning("the job waits for its base model %s: %s", job.model, fault)
        await self._jobs.change(
            job.project_id,
            job.id,
            lambda current: lifecycle.await_model(current, job),
            events=lambda _: [_AWAITS_MODEL],
        )

    async def _queue(self, job: JobRecord, plan: JobPlan, overlap: Sequence[str]) -> None:
        machine = plan.machine
        notes = (
            Note("Files validated, moving job to queued state", "validated"),
            *plan.notes,
            *(machine.describe() if machine else ()),
            *map(Note, overlap),
            *_without_evaluation(job),
        )
        await self._jobs.change(
            job.project_id,
            job.id,
            lambda current: lifecycle.prepare(
                current,
                plan.chosen,
                clock.now_s(),
                memory=plan.memory,
                longest_row=plan.longest_row,
            ),
            events=lambda _: [NewEvent(message=note.text, data=note.data) for note in notes],
        )
        record_wait("preparing", job, clock.now_s() - job.created_at)
        await self._dispatcher.dispatch()


def _without_evaluation(job: JobRecord) -> list[Note]:
    """Say that the job will have no evaluation, and how to get one. OpenAI holds out no rows."""
    is_held_out = job.validation_file or job.hyperparameters.validation_share
    if is_held_out or not METHODS[job.method].is_evaluated:
        return []
    text = (
        "No rows are held out, so this job ends without an evaluation. For a verdict, create a job "
        "with a 'validation_file', or with the hyperparameter 'validation_share', such as 0.1"
    )
    return [Note(text, "no_held_out_rows")]
