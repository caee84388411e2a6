"""The `train` task: takes an attempt under a lease, runs it, and records its outcome."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any

from service.core import clock, logs, metrics, queue, tasks, tracing
from service.core.leases import Held
from service.core.metric_types import BoundedLabel
from service.core.records import Missing, Unreadable
from service.core.redis import REDIS_ERRORS
from service.core.storage import QUOTA, QuotaExceeded, StorageError
from service.fleet.nvml import GpuMonitor
from service.fleet.workers import Presence
from service.inference.background.calls import Resources
from service.inference.chat_load import ChatLoad
from service.inference.upstreams import Upstreams
from service.jobs import lifecycle
from service.jobs.attempt.progress import record_wait
from service.jobs.attempt.recorder import Outcome
from service.jobs.attempt.trainer_process import TrainingAttempt
from service.jobs.dispatch import Dispatcher
from service.jobs.planning.machines import describe_plan, fits_on, plan_on
from service.jobs.records import JobFailure, JobRecord, Jobs, NewEvent, Status
from service.jobs.recovery import fail, lose
from service.models.catalogue import BaseModelEntry, CatalogueError
from service.work.records import AttemptSuperseded

log = logging.getLogger(__name__)
_LOOK_S = 1.0  # poll interval for a cancel or a pause


class TrainTask:
    """The `train` task: runs a queued job to a final status, or returns it to the queue."""

    def __init__(
        self,
        jobs: Jobs,
        resources: Resources,
        *,
        presence: Presence,
        dispatcher: Dispatcher,
        upstreams: Upstreams,
        chats: ChatLoad,
        gpus: GpuMonitor,
    ) -> None:
        self._jobs = jobs
        self._resources = resources
        self._catalogue = resources.registry.catalogue
        self._leases = resources.leases
        self._settings = resources.settings
        self._presence = presence
        self._dispatcher = dispatcher
        self._upstreams = upstreams
        self._chats = chats
        self._gpus = gpus
        self._project_label = BoundedLabel(self._settings.metrics_max_projects)
        self.draining = asyncio.Event()  # set when the worker shuts down

    async def run(self, _ctx: dict[str, Any], project_id: str, job_id: str, attempt: int) -> None:
        """Run the task. Does nothing if another worker or attempt has taken over."""
        with logs.bound(logs.job_id, job_id):
            try:
                async with self._presence.training(queue.task_id("train", job_id, attempt)):
                    await self._run_leased(project_id, job_id, attempt)
            finally:
                await self._dispatcher.dispatch()  # this worker is free, or the job is queued again

    async def can_run(self, task_id: str) -> bool:
        """Return whether this worker can run a task. If not, it leaves it to another worker."""
        if self._gpus.fault is not None:
            return False
        found = await queue.arguments(self._jobs.redis, task_id)
        if found is None:
            return True
        project_id, job_id, _ = found
        try:
            job = await self._jobs.get(project_id, job_id)
        except Unreadable:
            return True
        entry = self._entry(job.model) if job else None
        if job is None or entry is None or job.status is not Status.QUEUED:
            return True  # the task ends at once
        return fits_on(job, entry, self._presence.worker, self._settings.tokens_at_once)

    async def _run_leased(self, project_id: str, job_id: str, attempt: int) -> None:
        try:
            async with self._leases.hold(job_id, attempt) as lease_lost:
                await self._train(project_id, job_id, attempt, lease_lost)
        except (Held, Missing, AttemptSuperseded):
            log.info("attempt %d is no longer this worker's to run", attempt)

    async def _train(
        self, project_id: str, job_id: str, number: int, lease_lost: asyncio.Event
    ) -> None:
        if self.draining.is_set():
            return  # the job stays queued; a later round dispatches it to another worker
        texts: list[str] = []

        def start(job: JobRecord) -> JobRecord:
            started = lifecycle.start(job, number, clock.now_s())
            texts[:], planned = self._plan_here(started)
            return planned

        job = await self._jobs.change(
            project_id,
            job_id,
            start,
            events=lambda job: [_started_event(job), *(NewEvent(message=text) for text in texts)],
        )
        _observe_wait(job)
        entry = self._catalogue.get(job.model)
        if entry is None:
            message = f"The base model {job.model} is no longer offered."
            failure = JobFailure(code="model_not_found", message=message, param="model")
            await fail(self._jobs, job, failure)
            return
        attempt = TrainingAttempt(
            job,
            entry,
            self._jobs,
            self._resources,
            machine=self._presence.worker,
            upstreams=self._upstreams,
            chats=self._chats,
        )
        log.info("attempt %d begins: %s", number, job.model)
        began = time.monotonic()
        outcome = await self._run_measured(attempt, lease_lost)
        if attempt.gpu_fault is not None and self._settings.ray_address is None:
            self._gpus.keep(attempt.gpu_fault)
        seconds = time.monotonic() - began
        log.info("attempt %d %s after %.1f s", number, outcome, seconds)
        await self._record_outcome(job, outcome)

    def _entry(self, model: str) -> BaseModelEntry | None:
        try:
            return self._catalogue.get(model)
        except CatalogueError:
            return None  # the attempt reports it

    def _plan_here(self, job: JobRecord) -> tuple[list[str], JobRecord]:
        """Plan the job's memory for this worker. Returns messages about changes, and the job."""
        entry, worker = self._entry(job.model), self._presence.worker
        found = entry and plan_on(job, entry, worker, self._settings.tokens_at_once)
        if not found or not found.fits:
            return [], job
        planned = lifecycle.set_memory(job, found.settings)
        if planned.memory_settings == job.memory_settings:
            return [], planned
        words = "; ".join(note.text for note in describe_plan(found, worker))
        return [f"Planned again for this worker: {words}"], planned

    async def _run_measured(self, attempt: TrainingAttempt, lease_lost: asyncio.Event) -> Outcome:
        """Run the attempt with metrics and a trace span around it."""
        job = attempt.job
        attributes: dict[str, tracing.Value] = {"job": job.id, "base_model": job.model}
        with tracing.span(
            "job.attempt", parent=job.trace, kind="consumer", attempt=job.attempt, **attributes
        ) as span:
            began = time.monotonic()
            metrics.JOBS_RUNNING.cell().inc()
            try:
                outcome = await self._run_watched(attempt, lease_lost)
            finally:
                metrics.JOB_SECONDS.cell("attempt").observe(time.monotonic() - began)
                metrics.JOBS_RUNNING.cell().inc(-1)
                metrics.TRAIN_LOSS.clear()
                metrics.TRAIN_REWARD.clear()
                metrics.TRAIN_TOKENS_PER_SECOND.clear()
                metrics.CHAT_LATENCY_SECONDS.clear()
            span.set(outcome=outcome)
            if outcome is Outcome.LOST:
                span.fail("attempt_lost")
            return outcome

    async def _run_watched(self, attempt: TrainingAttempt, lease_lost: asyncio.Event) -> Outcome:
        """Run the attempt, and end it if the job, the lease or the worker requires that."""
        running = asyncio.create_task(attempt.run())
        watch = partial(self._watch, attempt, running, lease_lost)
        watching = asyncio.create_task(tasks.keep("attempt watch", watch))
        try:
            return await running
        except QuotaExceeded as e:
            await attempt.fail(JobFailure(code=QUOTA, message=str(e)))
            return Outcome.FINISHED
        except StorageError as e:
            log.warning("the attempt ended because of storage: %s", e)
            return Outcome.LOST
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise  # this task itself is being cancelled
            return Outcome.LOST
        finally:
            try:
                await tasks.end(watching)
            finally:
                if not running.done():
                    running.cancel()
                    await attempt.kill()

    async def _watch(
        self, attempt: TrainingAttempt, running: asyncio.Task[Outcome], lease_lost: asyncio.Event
    ) -> None:
        stopping: asyncio.Task[None] | None = None
        project = self._project_label.value(attempt.job.project_name)
        gpu_seconds = metrics.TRAINING_GPU_SECONDS.cell(project, attempt.job.model)
        gpus, since = self._presence.worker.gpus, time.monotonic()
        try:
            while not lease_lost.is_set():
                job = await self._current(attempt)
                if job is None:
                    break
                if (fault := self._gpus.fault) is not None:
                    await attempt.record_gpu_fault(fault)
                    break
                if stopping is None and (job.pausing or self.draining.is_set()):
                    # A separate task, because a job that is stopping may still be cancelled.
                    stopping = asyncio.create_task(attempt.stop())
                await asyncio.sleep(_LOOK_S)
                now = time.monotonic()
                gpu_seconds.inc((now - since) * gpus)
                since = now
            log.info("the attempt is over: the trainer is killed")
            await attempt.kill()
            # Do not wait longer for pending writes: the storage may be down.
            await asyncio.wait([running], timeout=_LOOK_S)
            running.cancel()
        finally:
            if stopping is not None:
                await tasks.end(stopping)

    async def _current(self, attempt: TrainingAttempt) -> JobRecord | None:
        """Return the current job record, or None if the attempt no longer owns the job."""
        try:
            job = await self._jobs.get(attempt.job.project_id, attempt.job.id)
        except (*REDIS_ERRORS, Unreadable):
            return attempt.job  # training continues while Redis is down
        if job is None or not job.is_attempt_of(attempt.job) or job.status is Status.CANCELLED:
            return None
        return job

    async def _record_outcome(self, job: JobRecord, outcome: Outcome) -> None:
        if outcome is Outcome.STOPPED:
            await self._jobs.change(
                job.project_id,
                job.id,
                lambda current: lifecycle.hand_back(current, job),
                events=self._hand_back_events,
            )
        elif outcome is Outcome.LOST:
            metrics.JOB_ATTEMPTS_LOST.cell("trainer_died").inc()
            await lose(self._jobs, job, self._settings.max_attempts_without_progress)

    def _hand_back_events(self, job: JobRecord) -> list[NewEvent]:
        if job.status is Status.PAUSED:
            code, message = "stopped", "The trainer stopped; progress is kept"
        elif self.draining.is_set():
            code = "drained"
            message = "The worker is shutting down; the job returns to the queue"
        else:  # resumed while the trainer was stopping
            code, message = "requeued", "The trainer stopped; the job returns to the queue"
        return [NewEvent(message=message, data={"code": code})]


def _started_event(job: JobRecord) -> NewEvent:
    if job.attempt == 1:
        return NewEvent(message="Fine-tuning job started", data={"code": "started"})
    return NewEvent(
        message=f"Fine-tuning job restarted (attempt {job.attempt})",
        data={"code": "restarted", "attempt": job.attempt},
    )


def _observe_wait(job: JobRecord) -> None:
    if job.queued_at is not None and job.attempt == 1:
        record_wait("queued", job, clock.now_s() - job.queued_at)
