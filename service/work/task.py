"""Bases of tasks that do work under a lease.

A task stops when the worker drains, and when another attempt has taken over.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Any, ClassVar, Generic, Protocol, TypeGuard, TypeVar

from service.core import tracing
from service.core.leases import Ending, Held, Leases, supervise
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS
from service.core.storage import QUOTA, QuotaExceeded, StorageError
from service.work.records import AttemptSuperseded, WorkRecord
from service.work.store import WorkStore

log = logging.getLogger(__name__)
R = TypeVar("R", bound=WorkRecord)


class WorkFailed(Exception):
    """Work fails for a reason that its owner should know."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class WorkTask(ABC, Generic[R]):
    """Does the work of records' attempts under their leases.

    A worker that shuts down sets `draining`.
    """

    failures: ClassVar[tuple[type[Exception], ...]] = ()
    """Errors, besides WorkFailed, whose `code` and `message` say why the work fails."""
    passing: ClassVar[tuple[type[Exception], ...]] = (StorageError, *REDIS_ERRORS)
    """Errors after which another attempt continues."""

    def __init__(self, store: WorkStore[R], leases: Leases) -> None:
        self.kind = store.kind
        self._store = store
        self._leases = leases
        self.draining = asyncio.Event()

    async def run(self, _ctx: dict[str, Any], project_id: str, subject: str, attempt: int) -> None:
        """Run the task. Does nothing if the work has ended or another attempt does it."""
        with self._logged(subject):
            try:
                async with self._leases.hold(subject, attempt) as lease_lost:
                    record = await self._store.find(project_id, subject)
                    if self._is_current(record, attempt) and not self.draining.is_set():
                        await self._do(record, lease_lost)
            except (Held, Missing, AttemptSuperseded):
                log.info("attempt %d at %s is no longer this worker's", attempt, subject)

    @abstractmethod
    async def _do(self, record: R, lease_lost: asyncio.Event) -> None:
        """Work until the work ends, or the lease, the attempt or the worker does."""

    async def _conclude(self, record: R, work: Awaitable[None]) -> None:
        """Await the work, and write why it failed. Raises what `run` and the queue handle."""
        failures: tuple[type[Exception], ...] = (WorkFailed, *self.failures)
        try:
            await work
        except (Missing, AttemptSuperseded):
            await self._clear(record)
            raise
        except failures as e:
            await self._fail(record, e)
        except self.passing as e:
            if not isinstance(e, QuotaExceeded) and getattr(e, "code", None) != QUOTA:
                raise
            await self._fail(record, WorkFailed(QUOTA, str(e)))
        except Exception as e:  # noqa: BLE001 - reported once instead of retried forever
            self._log_internal(record, e)
            noun = self.kind.noun
            message = f"The service failed on this {noun}. Give the operator its ID: {record.id}."
            await self._fail(record, WorkFailed("internal_error", message))

    async def _fail(self, record: R, error: Any) -> None:
        """Write why the work failed."""
        log.warning("%s failed: %s", record.id, error.code)
        await self._store.give_up(record, error.code, error.message)

    async def _clear(self, record: R) -> None:
        """Remove what an attempt may have left that is no longer the current one."""

    def _log_internal(self, record: R, error: Exception) -> None:
        log.error("%s failed", record.id, exc_info=error)

    def _logged(self, _subject: str) -> AbstractContextManager[object]:
        """Add fields to the logs of the work."""
        return nullcontext()

    async def _is_ours(self, record: R, notice: Callable[[R], None] = lambda _: None) -> bool:
        """Return whether the record still names this attempt. `notice` gets the current record."""
        current = await self._store.find(record.project_id, record.subject)
        if current is not None:
            notice(current)
        return self._is_current(current, record.attempt)

    def _is_current(self, record: R | None, attempt: int) -> TypeGuard[R]:
        return record is not None and record.attempt == attempt and not record.is_final


class ShortTask(WorkTask[R]):
    """A task that is not stopped, because it takes minutes at most."""

    async def _do(self, record: R, lease_lost: asyncio.Event) -> None:
        await self._conclude(record, self._work(record))

    @abstractmethod
    async def _work(self, record: R) -> None:
        """Do the work, and write the final status."""


class CancelableTask(ShortTask[R]):
    """A task whose work is canceled when it stops early, and starts again in the next attempt."""

    async def _do(self, record: R, lease_lost: asyncio.Event) -> None:
        ending = await supervise(
            asyncio.create_task(self._conclude(record, self._work(record))),
            draining=self.draining,
            lease_lost=lease_lost,
            is_ours=lambda: self._is_ours(record),
        )
        if ending is Ending.LOST:
            await self._clear(record)
            raise AttemptSuperseded(record.id)
        if ending is Ending.STOPPED:
            await self._store.hand_back(record)
            log.info("attempt %d at %s is handed back", record.attempt, record.subject)


class Attempt(Protocol):
    """One attempt at work that can be resumed."""

    @property
    def ended(self) -> bool:
        """Whether the work has a final status."""

    async def run(self) -> None:
        """Do the rest of the work, unless stopped."""

    def stop(self) -> None:
        """Stop early. What is finished is still stored."""

    def notice(self, current: Any, /) -> None:
        """Look at the current record, which may be being cancelled."""


class ResumableTask(WorkTask[R]):
    """A task whose work stores its progress, so that the next attempt continues it."""

    @abstractmethod
    def _attempt(self, record: R) -> AbstractAsyncContextManager[Attempt]:
        """Provide an attempt at the record's work, with its dependencies."""

    async def _do(self, record: R, lease_lost: asyncio.Event) -> None:
        log.info("%s: attempt %d begins", record.id, record.attempt)
        noun = self.kind.noun
        facts: dict[str, tracing.Value] = {noun: record.id, "attempt": record.attempt}
        trace = getattr(record, "trace", None)
        with tracing.span(f"{noun}.attempt", parent=trace, kind="consumer", **facts):
            await self._conclude(record, self._run_attempt(record, lease_lost))

    async def _run_attempt(self, record: R, lease_lost: asyncio.Event) -> None:
        async with self._attempt(record) as attempt:
            ending = await supervise(
                asyncio.create_task(attempt.run()),
                draining=self.draining,
                lease_lost=lease_lost,
                is_ours=lambda: self._is_ours(record, attempt.notice),
                stop=attempt.stop,
            )
        if attempt.ended:
            log.info("%s: attempt %d ended the work", record.id, record.attempt)
        elif ending is Ending.LOST:
            raise AttemptSuperseded(record.id)
        else:
            await self._store.hand_back(record)
            log.info("%s: attempt %d is handed back", record.id, record.attempt)
