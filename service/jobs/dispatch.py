"""Dispatch of queued jobs to free GPU workers, never more jobs than free workers.

The job records are the queue. arq's GPU queue is first come, first served, so it receives only
jobs that a free worker can take immediately. Priority and fairness therefore apply until that
moment. If an entry gets lost, a later `dispatch` finds its job in the records: the reconciler calls
it in every round. A job for which no free worker has enough memory is passed over until one has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from service.config import Settings
from service.core import ids, queue
from service.core.cache import LookupCache
from service.core.leases import Held, Leases
from service.core.records import PREFIX, Missing, Unreadable
from service.core.redis import REDIS_ERRORS, Client, why
from service.fleet import workers
from service.jobs import lifecycle
from service.jobs.fair_share import next_jobs, queue_positions
from service.jobs.planning.machines import fits_on
from service.jobs.records import JobRecord, Jobs, NewEvent, Status, UnfinishedJob
from service.models.catalogue import Catalogue, CatalogueError
from service.web import audit_trail
from service.work.records import AttemptSuperseded

log = logging.getLogger(__name__)
_WANTED = f"{PREFIX}:dispatch-wanted"
_AWAITS_MEMORY = NewEvent(
    message="No online worker has enough memory for this job. It stays in the queue until one has; "
    "cancel it to create one with a smaller base model, max_seq_length or batch_size",
    level="warn",
    data={"code": "awaits_memory"},
)
# A round passes over about this many jobs that fit no free worker. Each takes about a millisecond.
_MOST_PASSED_OVER = 500
_LOCK = "dispatch"
_LOCK_S = 10.0  # a killed dispatcher blocks the others this long; renewed while alive


class Dispatcher:
    """Dispatcher that chooses the next jobs for the whole installation."""

    def __init__(self, jobs: Jobs, redis: Client, settings: Settings) -> None:
        self._jobs = jobs
        self._redis = redis
        self._max_running = settings.max_running_jobs_per_project
        self._catalogue = Catalogue(settings.models_file)
        self._tokens_at_once = settings.tokens_at_once
        # Cached because clients poll, and reading a thousand queued jobs takes 10 ms.
        self._positions = LookupCache(self._read_positions, ttl_s=settings.lookup_cache_s)

    async def dispatch(self) -> None:
        """Assign jobs to free GPU workers. Call it when a job is queued or a worker becomes free.

        Only one dispatcher runs at a time. A concurrent call sets a flag and returns; the running
        dispatcher repeats while the flag is set. If Redis is down, this is logged, and the
        reconciler calls again.
        """
        with audit_trail.unrecorded():
            await self._dispatch()

    async def _dispatch(self) -> None:
        try:
            await self._redis.set(_WANTED, 1)
            while await self._redis.exists(_WANTED):
                # A new holder name per call, so that calls in one process also exclude each other.
                lock = Leases(self._redis, ids.random_part(), lease_s=_LOCK_S)
                async with lock.hold(_LOCK, 0) as lost:
                    while not lost.is_set() and await self._redis.getdel(_WANTED):
                        await self._fill(lost)
        except Held:
            return  # the holder checks for our flag after it releases the lock
        except REDIS_ERRORS as e:
            log.warning("nothing dispatched, Redis is unavailable: %s", why(e))

    async def positions(self, jobs: Iterable[JobRecord]) -> dict[str, int]:
        """Map the queued ones of the jobs to their positions in the queue of all projects.

        Position 1 is next. The result may be up to `lookup_cache_s` seconds old.
        """
        queued = [job.id for job in jobs if job.status is Status.QUEUED]
        if not queued:
            return {}
        positions = await self._positions.get("all")
        if not positions.keys() >= set(queued):  # some were queued after the read
            self._positions.forget("all")
            positions = await self._positions.get("all")
        return {job_id: positions[job_id] for job_id in queued if job_id in positions}

    async def _read_positions(self, _: str) -> dict[str, int]:
        return queue_positions(await self._jobs.unfinished(), self._max_running)

    async def _fill(self, lost: asyncio.Event) -> None:
        if not _free(await self._gpu_workers()):
            return  # common with a long queue: avoid reading all jobs
        jobs = await self._jobs.unfinished()
        entries = await self._redis.zrange(queue.GPU, 0, -1)
        # Read the workers last, so that one that has just taken a job is not counted as free.
        gpu_workers = await self._gpu_workers()
        known = {entry.decode() for entry in entries}
        queued = [job for job in jobs if job.status is Status.QUEUED]
        waiting = [job for job in queued if _task(job) in known]
        started = {worker.task for worker in gpu_workers}
        free = _free(gpu_workers)
        for job in waiting:
            if _task(job) not in started:
                without = self._without_worker_of(await self._read(job), free)
                free = free if without is None else without
        running = [job for job in jobs if job.status is Status.RUNNING]
        candidates = [job for job in queued if _task(job) not in known]
        for job in await self._next(candidates, running + waiting, free, gpu_workers):
            if lost.is_set():
                return
            await queue.enqueue(
                self._redis, queue.GPU, "train", job.project_id, job.id, job.attempt
            )

    async def _next(
        self,
        queued: list[UnfinishedJob],
        running: list[UnfinishedJob],
        free: list[workers.Worker],
        online: list[workers.Worker],
    ) -> list[UnfinishedJob]:
        """Return the next jobs, without those that are passed over.

        These are jobs that only a newer version can read, and those that fit none of the workers
        that are left for them.
        """
        passed_over: set[str] = set()
        while True:
            candidates = [job for job in queued if job.id not in passed_over]
            chosen = next_jobs(candidates, running, len(free), self._max_running)
            left, found = free, len(passed_over)
            for job in chosen:
                record = await self._read(job)
                without = None if record is None else self._without_worker_of(record, left)
                if without is None:
                    passed_over.add(job.id)
                    await self._note_if_none_fits(record, online)
                else:
                    left = without
            if len(passed_over) == found or found >= _MOST_PASSED_OVER:
                return [job for job in chosen if job.id not in passed_over]

    async def _read(self, job: UnfinishedJob) -> JobRecord | None:
        """Return the whole record of a job, or None if only a newer version can read it."""
        try:
            return await self._jobs.get(job.project_id, job.id)
        except Unreadable:
            return None

    def _without_worker_of(
        self, job: JobRecord | None, free: list[workers.Worker]
    ) -> list[workers.Worker] | None:
        """Return the workers that are left if one of `free` takes the job, None if it fits none.

        It is the one with the least memory, so that larger jobs find the others.
        """
        fitting = [worker for worker in free if job is None or self._fits(job, worker)]
        if not fitting:
            return None
        taker = min(fitting, key=lambda worker: worker.total_bytes)
        return [worker for worker in free if worker is not taker]

    def _fits(self, job: JobRecord, worker: workers.Worker) -> bool:
        try:
            entry = self._catalogue.get(job.model)
        except CatalogueError:
            entry = None
        return entry is None or fits_on(job, entry, worker, self._tokens_at_once)

    async def _note_if_none_fits(self, job: JobRecord | None, online: list[workers.Worker]) -> None:
        """Add an event, once, that a job waits for a worker with more memory."""
        if job is None or job.awaits_memory or any(self._fits(job, w) for w in online):
            return
        with contextlib.suppress(AttemptSuperseded, Missing):
            await self._jobs.change(
                job.project_id,
                job.id,
                lifecycle.await_memory,
                events=lambda _: [_AWAITS_MEMORY],
            )

    async def _gpu_workers(self) -> list[workers.Worker]:
        return [w for w in await workers.alive(self._redis) if "gpu" in w.queues]


def _free(gpu_workers: list[workers.Worker]) -> list[workers.Worker]:
    return [worker for worker in gpu_workers if not worker.busy]


def _task(job: UnfinishedJob) -> str:
    return queue.task_id("train", job.id, job.attempt)
