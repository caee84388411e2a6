"""Queue entries of workers that died with work that nobody waits for any more.

A running task keeps its entry, and the mark that a worker took it, for as long as it runs. If its
worker is killed and the work is cancelled or deleted meanwhile, no record leads to the entry. arq
looks at the first entries of a queue only, so enough of them would block it.
"""

from __future__ import annotations

from service.core import queue
from service.core.redis import Client
from service.worker.lost_attempts import LostAttempts


class DeadEntries:
    """Removes such entries. Run it after lost attempts at unfinished work were dealt with."""

    def __init__(self, redis: Client, lost_attempts: LostAttempts) -> None:
        self._redis = redis
        self._lost_attempts = lost_attempts

    async def sweep(self) -> None:
        """Remove the entries that were taken and whose lease has been gone for long enough."""
        for lane in queue.QUEUES.values():
            for task in await queue.taken(self._redis, lane):
                await self._lost_attempts.lost(lane, *task)
