"""Dispatch of queued jobs to free GPU workers, never more jobs than free workers.

The job records are the queue. arq's GPU queue is first come, first served, so it receives only
jobs that a free worker can take immediately. Priority and fairness therefore apply until that
moment. If an entry gets lost, a later `dispatch` finds its job in the records: the reconciler calls
it in every round.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from service.config import Settings
from service.core import ids, queue
from service.core.cache import LookupCache
from service.core.leases import Held, Leases
from service.core.records import PREFIX, Unreadable
from service.core.redis import REDIS_ERRORS, Client, why
from service.fleet import workers
from service.jobs.records import JobRecord, Jobs, Status, UnfinishedJob
from service.jobs.scheduling.fair_share import next_jobs, queue_positions

log = logging.getLogger(__name__)
_WANTED = f"{PREFIX}:dispatch-wanted"
_LOCK = "dispatch"
_LOCK_S = 10.0  # a killed dispatcher blocks the others this long; renewed while alive


class Dispatcher:
    """Dispatcher that chooses the next jobs for the whole installation."""

    def __init__(self, jobs: Jobs, redis: Client, settings: Settings) -> None:
        self._jobs = jobs
        self._redis = redis
        self._max_running = settings.max_running_jobs_per_project
        # Cached because clients poll, and reading a thousand queued jobs takes 10 ms.
        self._positions = LookupCache(self._read_positions, ttl_s=settings.lookup_cache_s)

    async def dispatch(self) -> None:
        """Assign jobs to free GPU workers. Call it when a job is queued or a worker becomes free.

        Only one dispatcher runs at a time. A concurrent call sets a flag and returns; the running
        dispatcher repeats while the flag is set. If Redis is down, this is logged, and the
        reconciler calls again.
        """
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
        places = await self._positions.get("all")
        if not places.keys() >= set(queued):  # some were queued after the read
            self._positions.forget("all")
            places = await self._positions.get("all")
        return {job_id: places[job_id] for job_id in queued if job_id in places}

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
        slots = len(_free(gpu_workers)) - sum(_task(job) not in started for job in waiting)
        running = [job for job in jobs if job.status is Status.RUNNING]
        candidates = [job for job in queued if _task(job) not in known]
        for job in await self._next(candidates, running + waiting, slots):
            if lost.is_set():
                return
            await queue.enqueue(
                self._redis, queue.GPU, "train", job.project_id, job.id, job.attempt
            )

    async def _next(
        self, queued: list[UnfinishedJob], running: list[UnfinishedJob], slots: int
    ) -> list[UnfinishedJob]:
        """Return the next jobs without those that only a newer version can read."""
        unreadable: set[str] = set()
        while True:
            candidates = [job for job in queued if job.id not in unreadable]
            chosen = next_jobs(candidates, running, slots, self._max_running)
            found = [job for job in chosen if not await self._is_readable(job)]
            if not found:
                return chosen
            unreadable.update(job.id for job in found)

    async def _is_readable(self, job: UnfinishedJob) -> bool:
        try:
            await self._jobs.get(job.project_id, job.id)
        except Unreadable:
            return False
        return True

    async def _gpu_workers(self) -> list[workers.Worker]:
        return [w for w in await workers.alive(self._redis) if "gpu" in w.queues]


def _free(gpu_workers: list[workers.Worker]) -> list[workers.Worker]:
    return [worker for worker in gpu_workers if not worker.busy]


def _task(job: UnfinishedJob) -> str:
    return queue.task_id("train", job.id, job.attempt)
