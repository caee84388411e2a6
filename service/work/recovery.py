"""The reconciler's rules for background work: continue what is lost, clean up what has ended.

Work that is in no queue is enqueued. An attempt that a worker took, and that has had no lease for
long enough, is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from service.core import queue
from service.core.leases import Leases
from service.core.queue import EntryState, TaskId
from service.core.redis import Client
from service.core.storage import Storage
from service.work.store import WorkStore

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


class Recovery:
    """Continues the unfinished work of a kind. It is given up after `most_lost` lost attempts.

    `logged_errors` keeps an error with one record from the others.
    """

    def __init__(
        self,
        redis: Client,
        leases: Leases,
        lost_attempts: LostAttempts,
        most_lost: int,
        logged_errors: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._redis = redis
        self._leases = leases
        self._lost_attempts = lost_attempts
        self._most_lost = most_lost
        self._logged_errors = logged_errors

    async def continue_all(self, store: WorkStore[Any]) -> None:
        """Enqueue all work of a store that no worker does."""
        kind = store.kind
        unfinished = await store.unfinished()
        store.observe(unfinished)
        tasks = [queue.task_id(kind.function, r.subject, r.attempt) for r in unfinished]
        states = await queue.states(self._redis, tasks)
        for record, state in zip(unfinished, states, strict=True):
            if state is EntryState.WAITING:
                continue
            with self._logged_errors(record.subject):
                if state is EntryState.ABSENT:
                    await store.enqueue(record)
                elif await self._lost_attempts.lost(
                    kind.lane, kind.function, record.subject, record.attempt
                ):
                    await store.lose(record, self._most_lost)

    async def clean_up_all(self, store: WorkStore[Any], storage: Storage, now_s: int) -> None:
        """Delete what the expired, deleted and ended work of a store left."""
        for member in await store.leftovers(now_s):
            with self._logged_errors(member):
                await store.clean_up(member, storage, self._leases)


class DeadEntries:
    """Removes queue entries of workers that died with work that nobody is waiting for.

    A running task keeps its entry, and the mark that a worker took it, for as long as it runs. If
    its worker is killed and the work is then cancelled or deleted, no record leads to the entry.
    arq looks at the first entries of a queue only, so enough of them would block it.

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
