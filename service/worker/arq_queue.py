"""An arq worker that survives Redis failures."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from arq.worker import Worker

from service.core import queue
from service.core.redis import REDIS_ERRORS, Client, why

log = logging.getLogger(__name__)
_PAUSE_S = 1.0
_MOST_LEFT = 50  # tasks that are left to other workers and may be due before one's own


class QueueWorker(Worker):
    """Takes tasks from one queue. `on_poll()` is called in every polling round.

    It leaves tasks for which `may_take(task ID)` is false to other workers.

    arq's own loop ends on the first Redis error, while its running tasks continue. It compares the
    times in the queue with the clock of its host, leaks a slot for each task that it fails to take,
    and never reads beyond the oldest entries, even if killed workers had taken all of them.
    """

    def __init__(
        self,
        *args: Any,
        on_poll: Callable[[], None],
        may_take: Callable[[str], Awaitable[bool]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._on_poll = on_poll
        self._may_take = may_take

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

    async def _poll_iteration(self) -> None:
        free = self.max_jobs - self.job_counter
        if self.allow_pick_jobs and free > 0:
            for task_id in await self._due(free):
                await self._start(task_id)
        for task_id, task in list(self.tasks.items()):
            if task.done():
                del self.tasks[task_id]
                task.result()  # raises what ended it
        await self.heart_beat()

    async def _due(self, most: int) -> list[str]:
        if self._may_take is None:
            return await queue.due(self._client, self.queue_name, most)
        found: list[str] = []
        for task_id in await queue.due(self._client, self.queue_name, most + _MOST_LEFT):
            if len(found) < most and await self._may_take(task_id):
                found.append(task_id)
        return found

    async def _start(self, task_id: str) -> None:
        """Start a task unless another worker is faster."""
        taken = await queue.take(self._client, self.queue_name, task_id, self.in_progress_timeout_s)
        if taken is None:
            return
        await self.sem.acquire()  # free, because fewer than `max_jobs` tasks run
        self.job_counter += 1
        # To delay a task, arq compares the score with the clock of this host.
        local_ms = int(time.time() * 1000) - taken.now_ms
        task = self.loop.create_task(self.run_job(task_id, taken.due_ms + local_ms))
        task.add_done_callback(lambda _: self._release_sem_dec_counter_on_complete())
        self.tasks[task_id] = task

    @property
    def _client(self) -> Client:
        return cast("Client", self.pool)

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
