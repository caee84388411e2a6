"""Recovers work that no worker does, and cleans up after ended work: the rules for all kinds.

An attempt that is in no queue is enqueued. An attempt that a worker took from the queue, and that
has had no lease for `patience_s`, is lost: its worker died. The record then gets its next attempt,
or is given up (`lose_attempt` in `records.py`).
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
    """Decides which attempts are lost, and removes their queue entries."""

    def __init__(self, redis: Client, leases: Leases, patience_s: float) -> None:
        self._redis = redis
        self._leases = leases
        self._patience_s = patience_s

    async def forget_if_taken_and_lost(
        self, lane: str, function: str, subject: str, attempt: int
    ) -> bool:
        """Like `forget_if_lost`, for an attempt that may still wait in the queue."""
        state = await queue.state(self._redis, function, subject, attempt)
        return state is EntryState.TAKEN and await self.forget_if_lost(
            lane, function, subject, attempt
        )

    async def is_unheld(self, subject: str, attempt: int) -> bool:
        """Return whether the attempt has had no lease for `patience_s`."""
        return await self._leases.unheld_s(subject, attempt) >= self._patience_s

    async def forget_if_lost(self, lane: str, function: str, subject: str, attempt: int) -> bool:
        """Return whether an attempt that was taken is lost, and remove its queue entry then."""
        if not await self.is_unheld(subject, attempt):
            return False
        log.warning("%s: attempt %d has no living worker", subject, attempt)
        await queue.forget(self._redis, lane, function, subject, attempt)
        return True


class Recovery:
    """Recovers the unfinished work of a kind. It is given up after `most_lost` lost attempts.

    `logged_errors` is entered for each record, so that an error with one does not stop the others.
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
        """Enqueue all unfinished work of a store that no worker does."""
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
                elif await self._lost_attempts.forget_if_lost(
                    kind.lane, kind.function, record.subject, record.attempt
                ):
                    await store.lose(record, self._most_lost)

    async def clean_up_all(self, store: WorkStore[Any], storage: Storage, now_s: int) -> None:
        """Delete what the expired, deleted and ended work of a store left."""
        for member in await store.leftovers(now_s):
            with self._logged_errors(member):
                await store.clean_up(member, storage, self._leases)


class DeadEntries:
    """Removes queue entries of killed workers whose work was then canceled or deleted.

    A task keeps its queue entry, and the mark that a worker took it, while it runs. If its worker
    is killed and the work is then canceled or deleted, no record leads to the entry. arq looks only
    at the first entries of a queue, so enough of these would block it.

    An entry is removed in the second round that finds it without a lease. By then, the reconciler
    has removed the entries of all lost attempts at unfinished work.
    """

    def __init__(self, redis: Client, lost_attempts: LostAttempts) -> None:
        self._redis = redis
        self._lost_attempts = lost_attempts
        self._found: set[tuple[str, TaskId]] = set()

    async def sweep(self) -> None:
        """Remove the entries that this round and the last one found. Run it after recovery."""
        found = {
            (lane, task)
            for lane in queue.QUEUES.values()
            for task in await queue.taken(self._redis, lane)
            if await self._lost_attempts.is_unheld(task.subject_id, task.attempt)
        }
        for lane, task in found & self._found:
            await self._lost_attempts.forget_if_lost(lane, *task)
        self._found = found
