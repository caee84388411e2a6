"""Attempts that a worker took and then died."""

from __future__ import annotations

import logging

from service.core import queue
from service.core.leases import Leases
from service.core.queue import EntryState
from service.core.redis import Client

log = logging.getLogger(__name__)


class LostAttempts:
    """Finds attempts that have had no lease for `patience_s`, and removes their queue entries."""

    def __init__(self, redis: Client, leases: Leases, patience_s: float) -> None:
        self._redis = redis
        self._leases = leases
        self._patience_s = patience_s

    async def taken_and_lost(self, lane: str, function: str, subject: str, attempt: int) -> bool:
        """Return whether a worker took the entry and then died."""
        state = await queue.state(self._redis, function, subject, attempt)
        return state is EntryState.TAKEN and await self.lost(lane, function, subject, attempt)

    async def unheld(self, subject: str, attempt: int) -> bool:
        """Return whether the attempt has had no lease for long enough."""
        return await self._leases.unheld_s(subject, attempt) >= self._patience_s

    async def lost(self, lane: str, function: str, subject: str, attempt: int) -> bool:
        """Return whether the attempt, which was taken, has no living worker."""
        if not await self.unheld(subject, attempt):
            return False
        log.warning("%s: attempt %d has no living worker", subject, attempt)
        await queue.forget(self._redis, lane, function, subject, attempt)
        return True
