"""Sends the metrics of jobs to MLflow, in a loop of each cpu worker.

A job's events are its outbox: whatever the server or a worker does, they stay until the run has
them, and the training neither waits nor notices. Each sync sends what is new since the last one,
under the lease of the job. If a worker dies in between, another repeats its last request, which
adds nothing: MLflow keeps equal metrics once, and the run is found by the ID of the job.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable

from service.config import Settings
from service.core import clock
from service.core.leases import Held, Leases
from service.core.records import Missing, Unreadable
from service.core.redis import REDIS_ERRORS, why
from service.jobs.records import JobRecord, Jobs, NewEvent, Status
from service.jobs.tracking import mlflow
from service.jobs.tracking.mlflow import Mlflow, MlflowFailed
from service.jobs.tracking.records import MlflowRun, RunSuperseded, TrackedRun, TrackedRuns

log = logging.getLogger(__name__)
_POLL_S = 2.0
_MAX_CONCURRENT = 16
_DUE_PAGE = 200  # of those that are due; other workers serve some of them
_STARTED_S = 5.0  # until the next look at a job that has started
_WAITING_S = 30.0  # at a job that waits or is paused
_EVENTS_PER_REQUEST = 50  # with up to 20 numbers each; MLflow takes 1000 in a request
_FIRST_RETRY_S, _LAST_RETRY_S = 5.0, 3600.0
_MAX_EXPONENT = 10
_JITTER = 0.2  # spreads the retries of runs that failed at the same time
_GIVE_UP_S = 7 * 24 * 3600  # after the end of the job
_LEASE_ATTEMPT = 1  # leases require an attempt number; runs have none
_PROBLEMS = {
    "not_allowed": "The operator no longer allows the MLflow server",
    "unreachable": "The MLflow server cannot be reached",
    "unavailable": "The MLflow server is unavailable",
    "unauthorized": "The MLflow server refuses the operator's credentials",
    "rejected": "The MLflow server rejects the run",
    "not_mlflow": "The server at the tracking URI does not respond like an MLflow server",
}


class Tracker:
    """Sends new metrics of all tracked jobs to their MLflow servers."""

    def __init__(
        self,
        jobs: Jobs,
        leases: Leases,
        settings: Settings,
        *,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._jobs = jobs
        self._runs = TrackedRuns(jobs.redis)
        self._leases = leases
        self._settings = settings
        self._poll_s = min(_POLL_S, settings.reconcile_every_s)
        self._on_round = on_round
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Send until cancelled. Rounds in which Redis is unavailable are skipped."""
        try:
            while True:
                self._on_round()
                try:
                    await self._start_due()
                except REDIS_ERRORS as e:
                    log.warning("Redis is unavailable, tracked runs are delayed: %s", why(e))
                await asyncio.sleep(self._poll_s)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def once(self) -> None:
        """Sync each job that is due, and wait until all are synced."""
        await self._start_due()
        await asyncio.gather(*self._running.values())

    async def _start_due(self) -> None:
        for project_id, job_id in await self._runs.due(_DUE_PAGE):
            if len(self._running) >= _MAX_CONCURRENT:
                break
            if job_id not in self._running:
                task = asyncio.create_task(self._serve(project_id, job_id), name=job_id)
                self._running[job_id] = task
                task.add_done_callback(lambda done: self._running.pop(done.get_name()))

    async def _serve(self, project_id: str, job_id: str) -> None:
        """Sync a job. An unexpected error delays only this job."""
        try:
            async with self._leases.hold(f"tracking:{job_id}", _LEASE_ATTEMPT):
                await self._sync(project_id, job_id)
        except (Held, RunSuperseded, Missing):
            pass  # another worker does it, or has done it
        except REDIS_ERRORS as e:
            log.warning("Redis is unavailable, the run of %s is delayed: %s", job_id, why(e))
        except Exception as e:
            if not isinstance(e, Unreadable):  # which is logged, and left for a newer worker
                log.exception("the MLflow run of %s is delayed by an internal error", job_id)
            with contextlib.suppress(*REDIS_ERRORS):
                await self._runs.postpone(project_id, job_id, _LAST_RETRY_S)

    async def _sync(self, project_id: str, job_id: str) -> None:
        # The job before its events: if it has ended, they include its last metrics.
        job = await self._jobs.get(project_id, job_id)
        run = await self._runs.records.get(project_id, job_id)
        if job is None or job.mlflow_run is None or run is None:
            await self._runs.remove(project_id, job_id)
            return
        if job.started_at is None and not job.is_final:
            await self._runs.postpone(project_id, job_id, _WAITING_S)
            return
        try:
            await self._send(job, job.mlflow_run, run)
        except MlflowFailed as e:
            log.warning("the MLflow run of %s is delayed: %s", job_id, e)
            await self._record_failure(job, e)
            return
        if job.is_final:
            await self._runs.remove(project_id, job_id)
        else:
            delay_s = _STARTED_S if job.status is Status.RUNNING else _WAITING_S
            await self._runs.postpone(project_id, job_id, delay_s)

    async def _send(self, job: JobRecord, target: MlflowRun, run: TrackedRun) -> None:
        if target.tracking_uri not in self._settings.mlflow_tracking_uris:
            raise MlflowFailed("not_allowed", "FINETUNED_MLFLOW_TRACKING_URIS")
        async with Mlflow(target.tracking_uri, self._settings) as server:
            run_id = target.run_id or await self._open(server, job, target)
            await self._send_events(server, run_id, job, run)
            if job.is_final:
                if tags := mlflow.final_tags_of(job):
                    await server.log(run_id, tags=tags)
                await server.update_run(run_id, **mlflow.outcome_of(job))

    async def _open(self, server: Mlflow, job: JobRecord, target: MlflowRun) -> str:
        """Return the ID of the job's run, which is created if a killed worker has not done so."""
        experiment_id = await server.experiment_id(target.experiment_name)
        run_id = await server.find_run(experiment_id, job.id) or await server.create_run(
            experiment_id,
            target.run_name,
            (job.started_at or job.created_at) * 1000,
            mlflow.tags_of(job, target),
        )
        await self._jobs.change(
            job.project_id,
            job.id,
            lambda current: current.model_copy(
                update={"mlflow_run": target.model_copy(update={"run_id": run_id})}
            ),
            events=lambda _: [
                NewEvent(
                    message=f"The MLflow run {run_id} receives the metrics of this job",
                    data={"run_id": run_id, "experiment_id": experiment_id},
                )
            ],
        )
        return run_id

    async def _send_events(
        self, server: Mlflow, run_id: str, job: JobRecord, run: TrackedRun
    ) -> None:
        """Send the metrics that the run does not have, and before the first ones the parameters.

        The trainer decides some parameters when it starts.
        """
        while events := await self._jobs.events_after(
            job.project_id, job.id, run.cursor, _EVENTS_PER_REQUEST
        ):
            new = mlflow.metrics_of(events)
            if new and not run.has_parameters:
                run = await self._send_parameters(server, run_id, job, run)
            if new:
                await server.log(run_id, metrics=new)
            progress = {"cursor": events[-1].id, "failures": 0}
            run = await self._runs.replace(run, run.model_copy(update=progress))
        if job.is_final and not run.has_parameters:
            await self._send_parameters(server, run_id, job, run)

    async def _send_parameters(
        self, server: Mlflow, run_id: str, job: JobRecord, run: TrackedRun
    ) -> TrackedRun:
        # Read again: the trainer may have decided some after this sync began.
        current = await self._jobs.get(job.project_id, job.id) or job
        await server.log(run_id, params=mlflow.parameters_of(current))
        return await self._runs.replace(run, run.model_copy(update={"has_parameters": True}))

    async def _record_failure(self, job: JobRecord, failure: MlflowFailed) -> None:
        """Delay the next sync, or give up. An event reports each kind of problem once."""
        run = await self._runs.records.get(job.project_id, job.id)
        if run is None:
            return
        text = f"{_PROBLEMS[failure.problem]} ({failure.detail})."
        if job.finished_at is not None and clock.now_s() > job.finished_at + _GIVE_UP_S:
            await self._runs.remove(job.project_id, job.id)
            await self._report(job, f"{text} The rest of the metrics will not be sent.", failure)
            return
        known = {*run.reported, failure.problem}
        after = {"failures": run.failures + 1, "reported": tuple(sorted(known))}
        await self._runs.replace(run, run.model_copy(update=after))
        delay_s = min(_FIRST_RETRY_S * 2 ** min(run.failures, _MAX_EXPONENT), _LAST_RETRY_S)
        jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
        await self._runs.postpone(job.project_id, job.id, delay_s * jitter)
        if failure.problem not in run.reported:
            what = "The metrics are kept and will be sent later; the training is not affected."
            await self._report(job, f"{text} {what}", failure)

    async def _report(self, job: JobRecord, message: str, failure: MlflowFailed) -> None:
        event = NewEvent(message=message, level="warn", data={"code": f"mlflow_{failure.problem}"})
        await self._jobs.change(
            job.project_id, job.id, lambda current: current, events=lambda _: [event]
        )
