"""An arq worker that survives Redis failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from arq.worker import Worker

from service.core.redis import REDIS_ERRORS, why

log = logging.getLogger(__name__)
_PAUSE_S = 1.0


class QueueWorker(Worker):
    """Takes tasks from one queue. `on_poll()` is called in every polling round.

    arq's own loop ends on the first Redis error, while its running tasks continue. It also leaks a
    slot for each task that it fails to take, after which a worker with one slot would never take a
    task again.
    """

    def __init__(self, *args: Any, on_poll: Callable[[], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._on_poll = on_poll
        self._given_back = 0  # slots, since the start

    async def run_forever(self) -> None:
        """Poll the queue forever, pausing after a Redis error."""
        while True:
            self._on_poll()
            try:
                await self.main()
            except REDIS_ERRORS as e:
                log.warning("queue %s: Redis is unavailable: %s", self.queue_name, why(e))
            await asyncio.sleep(_PAUSE_S)

    async def heart_beat(self) -> None:
        """End a round of polling."""
        await super().heart_beat()
        self._on_poll()

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Take as many tasks as there are free slots."""
        for job_id in job_ids:
            if self.job_counter >= self.max_jobs:
                return
            taken = self.job_counter + self._given_back
            try:
                await super().start_jobs([job_id])
            except Exception:
                if self.job_counter + self._given_back > taken:
                    self._release_sem_dec_counter_on_complete()
                raise

    def _release_sem_dec_counter_on_complete(self) -> None:
        self._given_back += 1
        super()._release_sem_dec_counter_on_complete()

    async def finish_job(self, job_id: str, *args: Any) -> None:
        """Remove a finished task from its queue, retrying until Redis accepts it.

        Until then, the task's entry would remain at the head of the queue.
        """
        while True:
            try:
                return await super().finish_job(job_id, *args)
            except REDIS_ERRORS as e:
                log.warning("task %s cannot be removed from its queue yet: %s", job_id, why(e))
            await asyncio.sleep(_PAUSE_S)
