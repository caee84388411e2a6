"""Base classes of the tasks that do the work of an attempt under its lease.

- `ShortTask` runs to its end, since it takes minutes at most.
- `CancelableTask` is canceled when it must stop, and its next attempt starts from the beginning.
- `ResumableTask` stops when asked to, and its next attempt continues.

A task must stop when its worker drains: the work is then handed back, so that another worker takes
the next attempt soon. It must also stop when its lease is lost or its record has another
attempt: it then writes nothing more.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Any, ClassVar, Generic, Protocol, TypeGuard, TypeVar

from service.core import clock, tracing
from service.core.leases import Ending, Held, Leases, supervise
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS
from service.core.storage import QUOTA, QuotaExceeded, StorageError
from service.work.records import AttemptSuperseded, OperationRecord, WorkRecord
from service.work.store import WorkStore

log = logging.getLogger(__name__)
R = TypeVar("R", bound=WorkRecord)


class WorkFailed(Exception):
    """The work fails for a reason that its owner should see."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class WorkTask(ABC, Generic[R]):
    """Runs the attempts at one kind of work. A worker that shuts down sets `draining`."""

    failures: ClassVar[tuple[type[Exception], ...]] = ()
    """Errors besides WorkFailed that fail the work, with their `code` and `message`."""
    transient: ClassVar[tuple[type[Exception], ...]] = (StorageError, *REDIS_ERRORS)
    """Errors that leave the record as it is. The reconciler enqueues the same attempt again."""

    def __init__(self, store: WorkStore[R], leases: Leases) -> None:
        self.kind = store.kind
        self._store = store
        self._leases = leases
        self.draining = asyncio.Event()

    async def run(self, _ctx: dict[str, Any], project_id: str, subject: str, attempt: int) -> None:
        """Run an attempt. Does nothing if the work has ended, or is in another attempt."""
        with self._logged(subject):
            try:
                async with self._leases.hold(subject, attempt) as lease_lost:
                    record = await self._store.find(project_id, subject)
                    if self._is_current(record, attempt) and not self.draining.is_set():
                        await self._do(await self._start(record), lease_lost)
            except (Held, Missing, AttemptSuperseded):
                log.info("attempt %d at %s is no longer this worker's", attempt, subject)

    async def _start(self, record: R) -> R:
        """Note when the first attempt at an operation began."""
        if isinstance(record, OperationRecord) and record.started_at is None:
            return await self._store.change_own(record, _start)
        return record

    @abstractmethod
    async def _do(self, record: R, lease_lost: asyncio.Event) -> None:
        """Work until the work ends, or the lease, the attempt or the worker does."""

    async def _conclude(self, record: R, work: Awaitable[None]) -> None:
        """Await the work. If it fails, write why.

        Raises transient errors, Missing and AttemptSuperseded. Any other error fails the work as
        `internal_error`, instead of being retried forever.
        """
        failures: tuple[type[Exception], ...] = (WorkFailed, *self.failures)
        try:
            await work
        except (Missing, AttemptSuperseded):
            await self._clear(record)
            raise
        except failures as e:
            await self._fail(record, e)
        except self.transient as e:
            if not isinstance(e, QuotaExceeded) and getattr(e, "code", None) != QUOTA:
                raise
            await self._fail(record, WorkFailed(QUOTA, str(e)))
        except Exception as e:  # noqa: BLE001 - see above
            self._log_internal(record, e)
            noun = self.kind.noun
            message = f"The service failed on this {noun}. Give the operator its ID: {record.id}."
            await self._fail(record, WorkFailed("internal_error", message))

    async def _fail(self, record: R, error: Any) -> None:
        """Write why the work failed."""
        log.warning("%s failed: %s", record.id, error.code)
        await self._store.give_up(record, error.code, error.message)

    async def _clear(self, record: R) -> None:
        """Hook: remove what a superseded attempt may have left."""

    def _log_internal(self, record: R, error: Exception) -> None:
        log.error("%s failed", record.id, exc_info=error)

    def _logged(self, _subject: str) -> AbstractContextManager[object]:
        """Hook: add fields to the log records of the work."""
        return nullcontext()

    async def _is_ours(self, record: R, notice: Callable[[R], None] = lambda _: None) -> bool:
        """Return whether this attempt is still current. `notice` gets the current record."""
        current = await self._store.find(record.project_id, record.subject)
        if current is not None:
            notice(current)
        return self._is_current(current, record.attempt)

    def _is_current(self, record: R | None, attempt: int) -> TypeGuard[R]:
        return record is not None and record.attempt == attempt and not record.is_final


class ShortTask(WorkTask[R]):
    """A task that runs to its end, because it takes minutes at most."""

    async def _do(self, record: R, lease_lost: asyncio.Event) -> None:
        await self._conclude(record, self._work(record))

    @abstractmethod
    async def _work(self, record: R) -> None:
        """Do the work, and write the final status."""


class CancelableTask(ShortTask[R]):
    """A task that is canceled to stop, and whose next attempt starts from the beginning."""

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
    """An attempt at work that can be resumed."""

    @property
    def ended(self) -> bool:
        """Whether the work has a final status."""

    async def run(self) -> None:
        """Do the rest of the work, unless stopped."""

    def stop(self) -> None:
        """Stop soon. Finished results are still stored."""

    def notice(self, current: Any, /) -> None:
        """Look at the current record, for example for a cancellation."""


class ResumableTask(WorkTask[R]):
    """A task that stores its progress, so that the next attempt continues it."""

    @abstractmethod
    def _attempt(self, record: R) -> AbstractAsyncContextManager[Attempt]:
        """Provide the attempt with its dependencies."""

    async def _do(self, record: R, lease_lost: asyncio.Event) -> None:
        log.info("%s: attempt %d begins", record.id, record.attempt)
        noun = self.kind.noun
        attributes: dict[str, tracing.Value] = {noun: record.id, "attempt": record.attempt}
        trace = getattr(record, "trace", None)
        with tracing.span(f"{noun}.attempt", parent=trace, kind="consumer", **attributes):
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


def _start(record: R) -> R:
    assert isinstance(record, OperationRecord)
    return record.start(clock.now_s())
