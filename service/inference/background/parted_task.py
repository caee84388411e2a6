"""Base of the tasks whose work is kept in parts: attempts, their ends and hand-backs."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, ClassVar, Protocol, TypeVar

from service.core import ids, tracing
from service.core.leases import Ending, watched
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS
from service.core.storage import QUOTA, QuotaExceeded, StorageError
from service.inference.background.engine_task import EngineTask, Resources
from service.inference.background.parted_work import PartedRecord, PartedWork

log = logging.getLogger(__name__)
R = TypeVar("R", bound=PartedRecord)


class Attempt(Protocol):
    """One attempt at a record's work."""

    @property
    def ended(self) -> bool:
        """Whether the work has a final status."""

    async def run(self, at_once: int, /) -> None:
        """Do the rest of the work, with `at_once` requests at a time, unless stopped."""

    def stop(self) -> None:
        """Stop early. What is finished is still stored."""

    def notice(self, current: Any, /) -> None:
        """Look at the current record, which may be being cancelled."""


class PartedTask(EngineTask[R]):
    """Takes attempts of records under their leases, and ends the work or hands it back."""

    noun: ClassVar[str]
    """What the work is called in messages, logs and spans."""
    passing: ClassVar[tuple[type[Exception], ...]] = (StorageError, *REDIS_ERRORS)
    """Errors after which another attempt continues."""

    def __init__(self, resources: Resources, work: PartedWork[R], at_once: int) -> None:
        super().__init__(resources)
        self._work = work
        self._at_once = at_once

    @abstractmethod
    def _attempt(self, record: R) -> AbstractAsyncContextManager[Attempt]:
        """Provide an attempt at the record's work, with its dependencies."""

    @staticmethod
    @abstractmethod
    def _released(current: R, own: R) -> R:
        """Return the record for the next attempt. Raises `superseded` if ours is not current."""

    @staticmethod
    @abstractmethod
    def _given_up(current: R, own: R, code: str, message: str, now_s: int) -> R:
        """Return the record after an error. Raises `superseded` as above."""

    async def _find(self, project_id: str, subject: str) -> R | None:
        return await self._work.get(project_id, subject)

    async def _do(self, record: R, lease_lost: asyncio.Event) -> None:
        log.info("%s: attempt %d begins", record.id, record.attempt)
        with self._span(record):
            try:
                async with self._attempt(record) as attempt:
                    await self._watched(record, attempt, lease_lost)
            except (Missing, self.superseded):
                await self._work.parts_remain(record)  # a part may have been stored since
                raise
            except self.passing as e:
                if not isinstance(e, QuotaExceeded) and getattr(e, "code", None) != QUOTA:
                    raise
                log.warning("%s failed: %s", record.id, QUOTA)
                await self._give_up(record, QUOTA, str(e))
            except Exception:
                # An internal error: report it once instead of retrying forever.
                log.exception("%s failed", record.id)
                message = f"The service failed on this {self.noun}. Give the operator its ID: "
                await self._give_up(record, "internal_error", f"{message}{record.id}.")

    async def _watched(self, record: R, attempt: Attempt, lease_lost: asyncio.Event) -> None:
        """Work until the work ends, or the lease, the attempt or the worker does."""

        async def is_ours() -> bool:
            current = await self._find(record.project_id, record.id)
            if current is not None:
                attempt.notice(current)
            return self._is_current(current, record.attempt)

        ending = await watched(
            asyncio.create_task(attempt.run(self._at_once)),
            draining=self.draining,
            lease_lost=lease_lost,
            is_ours=is_ours,
            stop=attempt.stop,
        )
        if attempt.ended:
            log.info("%s: attempt %d ended the %s", record.id, record.attempt, self.noun)
        elif ending is Ending.LOST:
            raise self.superseded(record.id)
        else:
            await self._hand_back(record)

    async def _hand_back(self, record: R) -> None:
        after = await self._work.change(record, lambda current: self._released(current, record))
        await self._work.enqueue(after)
        log.info("%s: attempt %d is handed back", record.id, record.attempt)

    async def _give_up(self, record: R, code: str, message: str) -> None:
        after = await self._work.change(
            record, lambda current: self._given_up(current, record, code, message, ids.now_s())
        )
        if not after.is_final:
            await self._work.enqueue(after)

    def _span(self, record: R) -> AbstractContextManager[object]:
        facts: dict[str, tracing.Value] = {self.noun: record.id, "attempt": record.attempt}
        return tracing.span(f"{self.noun}.attempt", parent=record.trace, kind="consumer", **facts)
