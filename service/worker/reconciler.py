"""Continues work that no process does, and deletes what no record refers to.

Records are written before queue entries, and a worker may die at any moment. Every few seconds, a
worker therefore compares records with queues and leases. `Reconciler._repairs` lists what continues
work: rules are in work/recovery.py, jobs/recovery.py, jobs/dispatch.py and jobs/sweeps/halving.py.
`Reconciler._cleanups` lists what is deleted, by rules of the packages whose data it is.

Every step is fenced and may run in several workers concurrently. One worker at a time runs a round,
because each round reads all unfinished records.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from service.backup import journal
from service.config import Settings
from service.core import clock, local_disk, metrics
from service.core.leases import LEADER_LEASE_S, Held, Leases, lead
from service.core.metric_types import Gauge
from service.core.records import PREFIX, Missing, Unreadable
from service.core.redis import REDIS_ERRORS, Client, Purpose, why, writing_for
from service.core.storage import StorageError
from service.erasure.eraser import Eraser
from service.evals.alias_checks.advance import CheckRunner
from service.evals.records import Evals
from service.files.curation.outputs import Outputs
from service.files.records import Files
from service.files.stored_chats.records import StoredChats
from service.files.uploads.records import Uploads
from service.jobs.attempt.reinforcement.policy import remove_rounds
from service.jobs.checkpoints import remove_leftovers
from service.jobs.dispatch import Dispatcher
from service.jobs.records import Jobs
from service.jobs.recovery import JobRecovery, observe
from service.jobs.result_files import remove_old_metrics
from service.jobs.sweeps.halving import advance
from service.jobs.sweeps.records import Sweeps
from service.models.aliases.changes import Aliases
from service.models.aliases.gates import read_gains
from service.models.registry import adapter_leftovers
from service.models.sharing import Sharing
from service.projects.deletion import ProjectDeletions
from service.projects.records import Projects
from service.work.records import AttemptSuperseded
from service.work.recovery import DeadEntries, LostAttempts, Recovery
from service.work.store import WorkStore
from service.worker.queue_tasks import stores_of

log = logging.getLogger(__name__)
_PROGRESSED = (AttemptSuperseded, Missing, Unreadable)

# Gauges of the whole installation, which a round sets.
_GAUGES = (
    metrics.JOBS_UNFINISHED,
    metrics.OLDEST_QUEUED_JOB_SECONDS,
    metrics.JOB_EVALUATIONS_UNFINISHED,
    metrics.EVAL_RUNS_UNFINISHED,
    metrics.BATCHES_UNFINISHED,
    metrics.ALIAS_GAIN_POINTS,
    metrics.BACKUP_TIMESTAMP_SECONDS,
    metrics.JOURNAL_TIMESTAMP_SECONDS,
    metrics.PROJECT_STORAGE_BYTES,
    metrics.PROJECT_RECORD_BYTES,
)
_STORED_GAUGES = f"{PREFIX}:gauges"  # of the last round, as JSON, which every worker exports
_Values = dict[str, list[tuple[tuple[str, ...], float]]]
_decode = msgspec.json.Decoder(_Values).decode
_PAUSE = 0.7  # of the interval between rounds; less than the shortest sleep of `run`
Step = Callable[[], Awaitable[object]]


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
        eraser: Eraser,
        *,
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._jobs = jobs
        self._files = files
        self._uploads = Uploads(redis, files)
        self._outputs = Outputs(files)
        self._sweeps = Sweeps(jobs)
        self._eraser = eraser
        self._alias_checks = CheckRunner(
            Evals(redis),
            Aliases(redis, eraser.registry, max_per_project=settings.max_aliases_per_project),
            files.storage,
            settings,
        )
        self._stored_chats = StoredChats(redis, files.storage)
        self._leases = leases
        self._projects = Projects(redis)
        self._sharing = Sharing(redis)
        self._deletions = ProjectDeletions(
            self._projects, files.storage, quiet_s=2 * settings.lease_s + settings.lookup_cache_s
        )
        self._dispatcher = dispatcher
        self._on_step = on_step
        self._most_projects = settings.metrics_max_projects
        self._most_aliases = settings.metrics_max_aliases
        self._has_journal = settings.journal_every_s > 0
        self._scratch = settings.scratch
        self._metrics_kept_s = settings.metrics_kept_days * 24 * 3600
        self._every_s = settings.reconcile_every_s
        self._patience_s = settings.lease_s / 2
        self._most_lost = settings.max_attempts_without_progress
        self._stores = stores_of(files)
        self._lead = partial(
            lead,
            redis,
            every_s=_PAUSE * self._every_s,
            lease_s=min(settings.lease_s, LEADER_LEASE_S),
        )
        self._lost_attempts = LostAttempts(redis, leases, self._patience_s)
        self._recovery = Recovery(
            redis, leases, self._lost_attempts, self._most_lost, self._logged_errors
        )
        self._job_recovery = JobRecovery(jobs, self._lost_attempts, self._most_lost)
        self._dead_entries = DeadEntries(redis, self._lost_attempts)

    async def run(self) -> None:
        """Reconcile forever. A Redis or storage outage skips a round."""
        while True:
            try:
                await self.run_round()
            except (*REDIS_ERRORS, StorageError) as e:
                log.warning("a required part is unavailable, nothing reconciled: %s", why(e))
            await asyncio.sleep(self._every_s * random.uniform(0.8, 1.2))  # noqa: S311 - no secret

    async def once(self) -> None:
        """Run one round over all unfinished files and jobs, and expired files.

        An error in one step or with one record does not affect the others. Raises REDIS_ERRORS or
        StorageError.
        """
        await self._run(self._repairs())
        await self._release(self._cleanups())
        await self._release(self._own_steps())

    async def run_round(self) -> None:
        """Run the parts of a round that no other worker runs or has just run.

        A worker that waits for storage keeps no other one from the repairs.
        """
        self._on_step()
        try:
            async with self._lead("repairs"):
                await self._run(self._repairs())
                await store_gauges(self._redis, _GAUGES)
        except Held:
            await load_gauges(self._redis, _GAUGES)
        with contextlib.suppress(Held):
            async with self._lead("cleanups"):
                await self._release(self._cleanups())
        await self._release(self._own_steps())

    async def _release(self, steps: Iterable[tuple[str, Step]]) -> None:
        """Run steps that delete data. They may write even if the memory of Redis is full."""
        with writing_for(Purpose.RELEASE):
            await self._run(steps)

    async def _run(self, steps: Iterable[tuple[str, Step]]) -> None:
        for what, step in steps:
            with self._logged_errors(what):
                await step()

    def _repairs(self) -> Iterator[tuple[str, Step]]:
        """Yield the steps that continue work and set gauges."""
        for store in self._stores:
            yield store.kind.function, partial(self._recovery.continue_all, store)
        yield "jobs", self._continue_jobs
        yield "sweeps", self._continue_sweeps
        yield "alias checks", partial(self._alias_checks.continue_all, self._logged_errors)
        yield "dead queue entries", self._dead_entries.sweep
        yield "dispatch", self._dispatcher.dispatch
        yield "gauges of aliases", self._observe_aliases
        yield "gauges of backups", self._observe_backups
        yield "gauges of projects", self._observe_projects

    def _cleanups(self) -> Iterator[tuple[str, Step]]:
        """Yield the steps that delete data."""
        jobs, files, storage = self._jobs, self._files, self._files.storage
        yield "expired objects", lambda: self._eraser.erase_expired(clock.now_s())
        yield "expired stored chats", lambda: self._stored_chats.delete_expired(clock.now_s())
        yield "files", lambda: files.sweep(self._leases, clock.now_s())
        yield "uploads", lambda: self._uploads.sweep(clock.now_s())
        yield "rounds of trainings", lambda: remove_rounds(jobs, storage, clock.now_s())
        yield (
            "checkpoints",
            lambda: remove_leftovers(jobs, storage, self._leases, clock.now_s()),
        )
        yield "adapters", self._remove_adapters
        yield (
            "metrics of old jobs",
            lambda: remove_old_metrics(jobs, files, clock.now_s() - self._metrics_kept_s),
        )
        yield "outputs of file tasks", lambda: self._outputs.sweep(self._leases, self._patience_s)
        yield "stored chats", lambda: self._stored_chats.sweep(clock.now_s())
        yield "rewriting of Redis' files", self._eraser.deletions.rewrite
        yield "deleted projects", self._delete_projects
        yield "storage use", self._count_storage
        yield "record use", self._count_records
        for store in self._stores:
            yield store.kind.collection, partial(self._clean_up, store)

    def _own_steps(self) -> Iterator[tuple[str, Step]]:
        """Yield the steps that depend on this worker: on its machine, or its signing key."""
        yield "scratch folders", self._remove_scratch
        yield "erasures", self._eraser.deletions.sweep

    @contextlib.contextmanager
    def _logged_errors(self, what: str) -> Iterator[None]:
        self._on_step()
        try:
            yield
        except _PROGRESSED:
            pass  # it progressed on its own, or only a newer version can read it
        except (*REDIS_ERRORS, StorageError):
            raise
        except Exception:
            log.exception("not reconciled: %s", what)

    async def _continue_jobs(self) -> None:
        unfinished = await self._jobs.unfinished()
        observe(unfinished, clock.now_s())
        for project_id, job_id in await self._job_recovery.to_repair(unfinished):
            with self._logged_errors(job_id):
                await self._job_recovery.repair(project_id, job_id)

    async def _continue_sweeps(self) -> None:
        for sweep in await self._sweeps.unfinished():
            with self._logged_errors(sweep.id):
                await advance(self._sweeps, sweep.project_id, sweep.id)

    async def _observe_aliases(self) -> None:
        found = await read_gains(self._redis, self._most_aliases)
        metrics.ALIAS_GAIN_POINTS.clear()
        for labels, points in found.items():
            metrics.ALIAS_GAIN_POINTS.cell(*labels).set(points)

    async def _observe_backups(self) -> None:
        await journal.observe_backups(self._redis, journals=self._has_journal)

    async def _observe_projects(self) -> None:
        oldest = await self._projects.oldest(self._most_projects)
        for gauge, use in (
            (metrics.PROJECT_STORAGE_BYTES, self._files.storage.use),
            (metrics.PROJECT_RECORD_BYTES, self._redis.record_use),
        ):
            if use is not None:
                sizes = await use.totals([project.id for project in oldest])
                gauge.clear()
                for project, size in zip(oldest, sizes, strict=True):
                    gauge.cell(project.name).set(size)

    async def _remove_adapters(self) -> None:
        leftovers = adapter_leftovers(self._redis)
        for artifact in await leftovers.due(clock.now_s()):
            await self._files.storage.delete_prefix(artifact)
            await leftovers.removed(artifact)

    async def _clean_up(self, store: WorkStore[Any]) -> None:
        await self._recovery.clean_up_all(store, self._files.storage, clock.now_s())

    async def _delete_projects(self) -> None:
        for project_id in await self._deletions.all():
            await self._sharing.revoke_all(project_id)
        await self._deletions.sweep()

    async def _count_storage(self) -> None:
        storage = self._files.storage
        if storage.use is not None:
            await storage.use.recount(storage, await self._projects.kept_ids())

    async def _count_records(self) -> None:
        if self._redis.record_use is not None:
            await self._redis.record_use.recount()

    async def _remove_scratch(self) -> None:
        """Delete what dead workers on this machine left of users' data."""
        for name in await asyncio.to_thread(local_disk.sweep, self._scratch):
            log.warning("the scratch folder of a dead worker is deleted: %s", name)


async def store_gauges(redis: Client, gauges: Sequence[Gauge]) -> None:
    """Store the gauges for the other workers."""
    values = {gauge.name: gauge.values() for gauge in gauges}
    await redis.set(_STORED_GAUGES, msgspec.json.encode(values))


async def load_gauges(redis: Client, gauges: Sequence[Gauge]) -> None:
    """Set the gauges as they were stored by the worker that ran the last round."""
    raw = await redis.get(_STORED_GAUGES)
    if raw is None:
        return
    stored = _decode(raw)
    for gauge in gauges:
        if (values := stored.get(gauge.name)) is not None:
            gauge.replace(values)
