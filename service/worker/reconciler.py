"""Finds work that no worker is doing and puts it back into its queue.

Records are written before queue entries, and a worker may die at any moment. Every few seconds,
each worker therefore compares records with queues and leases:

- If the queue entry of a file check, a task on a file, a job validation, the evaluation of a job,
  an advice, an export or an evaluation run is missing, it is enqueued (arq rejects duplicates).
  Queued jobs are dispatched to free GPU workers.
- Expired files, advice and exports are deleted, as are the parts of uploads that have ended, the
  outputs of cleanings that were not finished, and what deleted evals, runs and exports have in
  storage.
- Work that was taken but has had no lease for half the lease duration is considered lost and
  continues under the next attempt number. It fails after several lost attempts, because what kills
  a worker takes down everything that this worker does.

Every step is fenced and may run in many workers at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterator

from service.config import Settings
from service.core import ids, metrics, queue
from service.core.leases import Leases
from service.core.queue import EntryState
from service.core.records import Missing, Unreadable
from service.core.redis import REDIS_ERRORS, Client, reply, why
from service.core.storage import StorageError
from service.curation.outputs import Outputs
from service.curation.records import FUNCTION, Task, TaskFailure, Tasks, TaskSuperseded
from service.evals import lifecycle as run_lifecycle
from service.evals.deletion import sweep
from service.evals.records import FUNCTION as RUN_EVAL
from service.evals.records import Evals, RunRecord, RunStatus
from service.exports import deletion as export_deletion
from service.exports import lifecycle as export_lifecycle
from service.exports.records import FUNCTION as EXPORT_MODEL
from service.exports.records import ExportRecord, Exports
from service.files.records import UNCHECKED, CheckOutcome, FileRecord, Files, FileStatus
from service.jobs import lifecycle
from service.jobs.advice import records as advice_records
from service.jobs.evaluation import records as evaluations
from service.jobs.evaluation.progress import Progress
from service.jobs.evaluation.records import (
    EvaluationFailure,
    EvaluationStatus,
    EvaluationSuperseded,
)
from service.jobs.outcomes import lose, lose_preparation
from service.jobs.records import ACTIVE, FINAL, JobRecord, Jobs, Status
from service.jobs.scheduling.dispatch import Dispatcher
from service.models.aliases import gains
from service.uploads.records import Uploads

log = logging.getLogger(__name__)
_LANES = {
    "train": queue.GPU,
    RUN_EVAL: queue.EVALS,
    evaluations.FUNCTION: queue.EVALS,
    advice_records.FUNCTION: queue.EVALS,
    EXPORT_MODEL: queue.EVALS,
}


class Reconciler:
    """Repairs inconsistencies between records and queues."""

    def __init__(
        self,
        redis: Client,
        jobs: Jobs,
        files: Files,
        leases: Leases,
        settings: Settings,
        dispatcher: Dispatcher,
        *,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._jobs = jobs
        self._files = files
        self._uploads = Uploads(redis, files)
        self._curation = Tasks(redis)
        self._outputs = Outputs(files)
        self._evals = Evals(redis)
        self._evaluations = evaluations.Evaluations(redis)
        self._advices = advice_records.AdviceStore(redis)
        self._exports = Exports(redis)
        self._leases = leases
        self._dispatcher = dispatcher
        self._on_step = on_step
        self._most_aliases = settings.metrics_max_aliases
        self._every_s = settings.reconcile_every_s
        self._patience_s = settings.lease_s / 2
        self._most_fruitless = settings.max_attempts_without_progress

    async def run(self) -> None:
        """Reconcile forever. A Redis or storage outage skips a round."""
        while True:
            try:
                await self.once()
            except (*REDIS_ERRORS, StorageError) as e:
                log.warning("a required part is unavailable, nothing reconciled: %s", why(e))
            await asyncio.sleep(self._every_s * random.uniform(0.8, 1.2))  # noqa: S311 - no secret

    async def once(self) -> None:
        """Run one round over all unfinished files and jobs, and expired files.

        An error in one step or with one record does not affect the others. Raises REDIS_ERRORS or
        StorageError.
        """
        for step in (
            self._every_file,
            self._every_task,
            self._every_evaluation,
            self._every_advice,
            self._every_export,
            self._every_job,
            self._every_run,
            self._dispatcher.dispatch,
            self._observe,
            self._observe_aliases,
            self._delete_expired,
            self._sweep_uploads,
            self._sweep_outputs,
            self._sweep_evals,
            self._sweep_exports,
        ):
            with self._logged_errors(step.__name__):
                await step()

    @contextlib.contextmanager
    def _logged_errors(self, what: str) -> Iterator[None]:
        self._on_step()
        try:
            yield
        except (
            lifecycle.AttemptSuperseded,
            run_lifecycle.RunSuperseded,
            advice_records.AdviceSuperseded,
            EvaluationSuperseded,
            TaskSuperseded,
            export_lifecycle.ExportSuperseded,
            Missing,
            Unreadable,
        ):
            pass  # it progressed on its own, or only a newer version can read it
        except (*REDIS_ERRORS, StorageError):
            raise
        except Exception:
            log.exception("not reconciled: %s", what)

    async def _every_file(self) -> None:
        for member in await reply(self._redis.smembers(UNCHECKED)):
            project_id, file_id = member.decode().split("/", 1)
            with self._logged_errors(file_id):
                await self._file(project_id, file_id, member)

    async def _every_task(self) -> None:
        for task in await self._curation.unfinished():
            with self._logged_errors(task.id):
                await self._curate(task)

    async def _every_evaluation(self) -> None:
        evaluations = await self._evaluations.unfinished()
        metrics.JOB_EVALUATIONS_UNFINISHED.cell().set(len(evaluations))
        for evaluation in evaluations:
            with self._logged_errors(evaluation.subject):
                await self._evaluate(evaluation)

    async def _every_advice(self) -> None:
        for record in await self._advices.unfinished():
            with self._logged_errors(record.id):
                await self._advise(record)

    async def _every_export(self) -> None:
        exports = await self._exports.unfinished()
        metrics.EXPORTS_UNFINISHED.cell().set(len(exports))
        for record in exports:
            with self._logged_errors(record.id):
                await self._export(record)

    async def _every_job(self) -> None:
        for project_id, job_id in await self._jobs.active():
            with self._logged_errors(job_id):
                await self._job(project_id, job_id)

    async def _every_run(self) -> None:
        runs = await self._evals.unfinished()
        for status in (RunStatus.QUEUED, RunStatus.IN_PROGRESS):
            number = sum(run.status is status for run in runs)
            metrics.EVAL_RUNS_UNFINISHED.cell(status).set(number)
        for run in runs:
            with self._logged_errors(run.id):
                await self._run(run)

    async def _observe(self) -> None:
        observe(await self._jobs.unfinished(), ids.now_s())

    async def _observe_aliases(self) -> None:
        found = await gains.read(self._redis, self._most_aliases)
        metrics.ALIAS_GAIN_POINTS.clear()
        for labels, points in found.items():
            metrics.ALIAS_GAIN_POINTS.cell(*labels).set(points)

    async def _delete_expired(self) -> None:
        await self._files.delete_expired(ids.now_s())
        await self._advices.delete_expired(ids.now_s())
        await self._exports.delete_expired(ids.now_s())

    async def _sweep_uploads(self) -> None:
        await self._uploads.sweep(ids.now_s())

    async def _sweep_outputs(self) -> None:
        await self._outputs.sweep(self._leases, self._patience_s)

    async def _file(self, project_id: str, file_id: str, member: bytes) -> None:
        record = await self._files.get(project_id, file_id, ids.now_s())
        if record is None or record.status is not FileStatus.UPLOADED:
            await reply(self._redis.srem(UNCHECKED, member))
            return
        if await self._abandoned("check_file", record.id, record.attempt):
            if self._is_poison(record.lost_attempts):
                outcome = CheckOutcome(FileStatus.ERROR, _died("checked this file"), certain=False)
                await self._files.finish_check(record, outcome)
                metrics.FILES_CHECKED.cell(outcome.status).inc()
                return
            record = await self._files.records.update(project_id, file_id, _next_check(record))
        await queue.enqueue(
            self._redis, queue.CPU, "check_file", project_id, file_id, record.attempt
        )

    async def _curate(self, task: Task) -> None:
        if not await self._abandoned(FUNCTION, task.subject, task.attempt):
            await self._curation.enqueue(task)
        elif self._is_poison(task.lost_attempts):
            failure = TaskFailure(code="task_interrupted", message=_died("worked on this file"))
            await self._curation.finish(task, error=failure)
        else:
            await self._curation.again(task, lost_attempts=task.lost_attempts + 1)

    async def _sweep_evals(self) -> None:
        for member in await self._evals.deleted():
            with self._logged_errors(member):
                await sweep(self._evals, self._files.storage, member)

    async def _sweep_exports(self) -> None:
        for member in await self._exports.to_sweep():
            with self._logged_errors(member):
                await export_deletion.sweep(self._exports, self._files.storage, member)

    async def _run(self, run: RunRecord) -> None:
        if await self._abandoned(RUN_EVAL, run.subject, run.attempt):
            log.warning("%s: attempt %d has no living worker", run.id, run.attempt)
            run = await self._evals.change(
                run,
                lambda r: run_lifecycle.lose(r, run.attempt, self._most_fruitless, ids.now_s()),
            )
            if run.status is RunStatus.FAILED:
                return
        await self._evals.enqueue(run)

    async def _evaluate(self, evaluation: evaluations.JobEvaluation) -> None:
        lost = evaluation.lost_attempts
        if not await self._abandoned(evaluations.FUNCTION, evaluation.subject, evaluation.attempt):
            await self._evaluations.enqueue(evaluation)
        elif self._is_poison(lost):
            message = _died("evaluated this job")
            failure = EvaluationFailure(code="evaluation_interrupted", message=message)
            status = EvaluationStatus.FAILED
            progress = Progress(self._evaluations, self._jobs, evaluation)
            await progress.end(f"failed: {message}", "warn", status=status, error=failure)
            metrics.JOB_EVALUATIONS.cell(status).inc()
        else:
            await self._evaluations.restart(evaluation, lost_attempts=lost + 1)

    async def _advise(self, record: advice_records.AdviceRecord) -> None:
        if not await self._abandoned(advice_records.FUNCTION, record.id, record.attempt):
            await self._advices.enqueue(record)
        elif self._is_poison(record.lost_attempts):
            message = _died("worked on this advice")
            failure = advice_records.AdviceFailure(code="advice_interrupted", message=message)
            await self._advices.end(record, error=failure)
        else:
            await self._advices.again(record, lost=True)

    async def _export(self, record: ExportRecord) -> None:
        if await self._abandoned(EXPORT_MODEL, record.id, record.attempt):
            log.warning("%s: attempt %d has no living worker", record.id, record.attempt)
            record = await self._exports.change(
                record,
                lambda r: export_lifecycle.lose(
                    r, record.attempt, self._most_fruitless, ids.now_s()
                ),
            )
            if record.is_final:
                return
        await self._exports.enqueue(record)

    async def _job(self, project_id: str, job_id: str) -> None:
        job = await self._jobs.get(project_id, job_id)
        if job is None or job.status in FINAL:
            await reply(self._redis.srem(ACTIVE, f"{project_id}/{job_id}"))
            return
        if job.status is Status.VALIDATING:
            await self._preparing(job)
        elif job.status is Status.QUEUED:
            await self._queued(job)
        elif job.status is Status.RUNNING:
            await self._running(job)

    async def _preparing(self, job: JobRecord) -> None:
        if await self._abandoned("prepare_job", job.id, job.attempt):
            job = await lose_preparation(self._jobs, job, self._most_fruitless)
            if job.status is Status.FAILED:
                return
        await queue.enqueue(
            self._redis, queue.CPU, "prepare_job", job.project_id, job.id, job.attempt
        )

    async def _queued(self, job: JobRecord) -> None:
        if await self._abandoned("train", job.id, job.attempt):
            # A worker took it and died before it wrote "running".
            await self._jobs.change(
                job.project_id,
                job.id,
                lambda j: lifecycle.requeue(j, job.attempt),
            )

    async def _running(self, job: JobRecord) -> None:
        if await self._leases.unheld_s(job.id, job.attempt) < self._patience_s:
            return
        log.warning("job %s: attempt %d has no living worker", job.id, job.attempt)
        metrics.JOB_ATTEMPTS_LOST.cell("worker_died").inc()
        await queue.forget(self._redis, queue.GPU, "train", job.id, job.attempt)
        await lose(self._jobs, job, self._most_fruitless)

    def _is_poison(self, lost_attempts: int) -> bool:
        """Whether work is given up whose attempt was lost, after that many before it.

        Each such attempt also takes down what else its worker does.
        """
        return lost_attempts + 1 >= self._most_fruitless

    async def _abandoned(self, function: str, subject_id: str, attempt: int) -> bool:
        """Whether a worker took the entry and then died. If so, removes the entry's remains."""
        if await queue.state(self._redis, function, subject_id, attempt) is not EntryState.TAKEN:
            return False
        if await self._leases.unheld_s(subject_id, attempt) < self._patience_s:
            return False
        lane = _LANES.get(function, queue.CPU)
        await queue.forget(self._redis, lane, function, subject_id, attempt)
        return True


def observe(unfinished: list[JobRecord], now_s: int) -> None:
    """Set the gauges for jobs that are not in a final state."""
    for status in Status:
        if status not in FINAL:
            number = sum(job.status is status for job in unfinished)
            metrics.JOBS_UNFINISHED.cell(status).set(number)
    waits = (now_s - (j.queued_at or now_s) for j in unfinished if j.status is Status.QUEUED)
    metrics.OLDEST_QUEUED_JOB_SECONDS.cell().set(max(waits, default=0))


def _next_check(lost: FileRecord) -> Callable[[FileRecord], FileRecord]:
    def change(current: FileRecord) -> FileRecord:
        if current.attempt != lost.attempt:
            return current  # another reconciler was faster
        update = {"attempt": lost.attempt + 1, "lost_attempts": lost.lost_attempts + 1}
        return current.model_copy(update=update)

    return change


def _died(did: str) -> str:
    return (
        f"The worker died several times while it {did}. The worker's log has the cause; it may "
        "need more memory."
    )
