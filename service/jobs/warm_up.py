"""Warm-up of new models, so that the first user does not have to wait for the engine to load one.

    finetuned:warm-ups    "project/job" of jobs whose new model has not been loaded yet, by time

The end of a job is added by the step that takes it from the outbox, and removed after its model was
requested once. If a worker dies in between, another one requests the model again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from service.config import Settings
from service.core.leases import Held, Leases
from service.core.outbox import Command, Event
from service.core.records import PREFIX, Unreadable
from service.core.redis import REDIS_ERRORS, text, why
from service.inference.upstreams import Upstreams
from service.jobs.attempt.engines import warm
from service.jobs.records import Jobs, Status

log = logging.getLogger(__name__)
WARM_UPS = f"{PREFIX}:warm-ups"
_POLL_S = 1.0
_AT_ONCE = 8  # an engine may take a minute to answer, and must not delay the models of others
_PAGE = 100
_LEASE_ATTEMPT = 1  # leases require an attempt number; warm-ups have none


async def request_warm_up(event: Event) -> list[Command]:
    """Return the commands that request the warm-up of a succeeded job's model."""
    if event.type != f"fine_tuning.job.{Status.SUCCEEDED}":
        return []
    return [["ZADD", WARM_UPS, str(event.created_at), f"{event.project_id}/{event.subject_id}"]]


class WarmUps:
    """Warms up the new models of all projects. Runs in each cpu worker."""

    def __init__(
        self,
        jobs: Jobs,
        leases: Leases,
        upstreams: Upstreams,
        settings: Settings,
        *,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._jobs = jobs
        self._leases = leases
        self._upstreams = upstreams
        self._served = settings.upstreams
        self._on_round = on_round
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Start the next round now."""
        self._woken.set()

    async def run(self) -> None:
        """Warm up models until cancelled. Rounds in which Redis is unavailable are skipped."""
        while True:
            self._on_round()
            self._woken.clear()
            try:
                await self._round()
            except REDIS_ERRORS as e:
                log.warning("Redis is unavailable, warm-ups are delayed: %s", why(e))
            # Not asyncio.wait_for, which before Python 3.12 can swallow a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._woken.wait()

    async def _round(self) -> None:
        members = await self._jobs.redis.zrange(WARM_UPS, 0, _PAGE - 1)
        async with asyncio.TaskGroup() as group:
            for member in members:
                group.create_task(self._serve(text(member)))

    async def _serve(self, member: str) -> None:
        project_id, job_id = member.split("/", 1)
        try:
            async with self._slots, self._leases.hold(f"warm-up:{job_id}", _LEASE_ATTEMPT):
                # Another worker may have done it since the list was read.
                if await self._jobs.redis.zscore(WARM_UPS, member) is not None:
                    await self._warm(project_id, job_id)
                    await self._jobs.redis.zrem(WARM_UPS, member)
        except Held:
            pass  # another worker does it
        except REDIS_ERRORS as e:
            log.warning("Redis is unavailable, the warm-up of %s is delayed: %s", job_id, why(e))

    async def _warm(self, project_id: str, job_id: str) -> None:
        with contextlib.suppress(Unreadable):
            job = await self._jobs.get(project_id, job_id)
            if job is not None and job.fine_tuned_model is not None and job.model in self._served:
                await warm(self._upstreams, job.model, job.fine_tuned_model)
