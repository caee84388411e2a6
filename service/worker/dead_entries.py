"""Queue entries of workers that died with work that nobody is waiting for.

A running task keeps its entry, and the mark that a worker took it, for as long as it runs. If its
worker is killed and the work is then cancelled or deleted, no record leads to the entry. arq
looks at the first entries of a queue only, so enough of them would block it.
"""

from __future__ import annotations

from service.core import queue
from service.core.queue import TaskId
from service.core.redis import Client
from service.worker.lost_attempts import LostAttempts


class DeadEntries:
    """Removes such entries.

    An entry is removed in the second round that finds it without a lease. Between the two, the
    reconciler has dealt with all lost attempts at unfinished work, and removed their entries.
    """

    def __init__(self, redis: Client, lost_attempts: LostAttempts) -> None:
        self._redis = redis
        self._lost_attempts = lost_attempts
        self._found: set[tuple[str, TaskId]] = set()

    async def sweep(self) -> None:
        """Remove the entries that this and the last round found. Run it after lost attempts."""
        found = {
            (lane, task)
            for lane in queue.QUEUES.values()
            for task in await queue.taken(self._redis, lane)
            if await self._lost_attempts.unheld(task.subject_id, task.attempt)
        }
        for lane, task in found & self._found:
            await self._lost_attempts.lost(lane, *task)
        self._found = found
