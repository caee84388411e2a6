"""Gives queued jobs to free GPU workers, and no more jobs than there are workers.

The records are the queue. Into arq's gpu queue, which is first come first served, goes
only what a free worker takes at once; so priority and fairness hold until then. Whatever
is lost on the way, a later `dispatch` finds from the records: the reconciler calls it in
every round.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from service.config import Settings
from service.core import ids, queue
from service.core.cache import LookupCache
from service.core.leases import Held, Leases
from service.core.records import PREFIX
from service.core.redis import REDIS_ERRORS, Client, why
from service.fleet import workers
from service.jobs.records import JobRecord, Jobs, Status
from service.jobs.scheduling.fair_share import next_jobs, queue_positions

log = logging.getLogger(__name__)
_WANTED = f"{PREFIX}:dispatch-wanted"
_LOCK = "dispatch"
_LOCK_S = 10.0  # a killed dispatcher holds up the others for so long; renewed while it lives


class Dispatcher:
    """Chooses what runs next, for the whole installation."""

    def __init__(self, jobs: Jobs, redis: Client, settings: Settings) -> None:
        self._jobs = jobs
        self._redis = redis
        self._max_running = settings.max_running_jobs_per_project
        # A thousand queued jobs take 20 ms to read, and whoever waits for one polls.
        self._positions = LookupCache(self._read_positions, ttl_s=settings.lookup_cache_s)

    async def dispatch(self) -> None:
        """Fill the free GPU workers. To be called when a job is queued or a worker is free.

        One dispatcher works at a time. Another's call leaves a mark and returns; who works
        goes round again while there is a mark. Redis away: logged, the reconciler calls again.
        """
        try:
            await self._redis.set(_WANTED, 1)
            while await self._redis.exists(_WANTED):
                # A fresh name for each call: calls within one process exclude each other too.
                lock = Leases(self._redis, ids.random_part(), lease_s=_LOCK_S)
                async with lock.hold(_LOCK, 0) as lost:
                    while not lost.is_set() and await self._redis.getdel(_WANTED):
                        await self._fill(lost)
        except Held:
            return  # its holder looks for our mark after it has let go of the lock
        except REDIS_ERRORS as e:
            log.warning("nothing dispatched, Redis is away: %s", why(e))

    async def positions(self, jobs: Iterable[JobRecord]) -> dict[str, int]:
        """Job id → place in the queue of all projects, for those of the jobs that are queued.

        1 is next. As old as `lookup_cache_s` allows.
        """
        queued = [job.id for job in jobs if job.status is Status.QUEUED]
        if not queued:
            return {}
        places = await self._positions.get("all")
        if not places.keys() >= set(queued):  # queued since
            self._positions.forget("all")
            places = await self._positions.get("all")
        return {job_id: places[job_id] for job_id in queued if job_id in places}

    async def _read_positions(self, _: str) -> dict[str, int]:
        return queue_positions(await self._jobs.unfinished(), self._max_running)

    async def _fill(self, lost: asyncio.Event) -> None:
        if not _free(await self._gpu_workers()):
            return  # the common case of a long queue: spare the read of all jobs
        jobs = await self._jobs.unfinished()
        entries = await self._redis.zrange(queue.GPU, 0, -1)
        # Workers last: one that took a job meanwhile is seen with it, none is taken for free.
        gpu_workers = await self._gpu_workers()
        known = {entry.decode() for entry in entries}
        queued = [job for job in jobs if job.status is Status.QUEUED]
        waiting = [job for job in queued if _task(job) in known]
        begun = {worker.task for worker in gpu_workers}
        slots = len(_free(gpu_workers)) - sum(_task(job) not in begun for job in waiting)
        running = [job for job in jobs if job.status is Status.RUNNING]
        candidates = [job for job in queued if _task(job) not in known]
        for job in next_jobs(candidates, running + waiting, slots, self._max_running):
            if lost.is_set():
                return
            await queue.enqueue(
                self._redis, queue.GPU, "train", job.project_id, job.id, job.attempt
            )

    async def _gpu_workers(self) -> list[workers.Worker]:
        return [w for w in await workers.alive(self._redis) if "gpu" in w.queues]


def _free(gpu_workers: list[workers.Worker]) -> list[workers.Worker]:
    return [worker for worker in gpu_workers if not worker.busy]


def _task(job: JobRecord) -> str:
    return queue.task_id("train", job.id, job.attempt)
