"""Base of the tasks that ask engines: their dependencies, and the signal to stop."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeGuard, TypeVar

from service.config import Settings
from service.core.leases import Ending, Held, Leases, watched
from service.core.records import Missing
from service.core.storage import Storage
from service.files.records import Files
from service.inference.background.calls import EngineAccess
from service.models.registry import ModelRegistry

log = logging.getLogger(__name__)


class Work(Protocol):
    """A record of work."""

    @property
    def id(self) -> str: ...
    @property
    def project_id(self) -> str: ...
    @property
    def subject(self) -> str:
        """Name of the work in the queue and in leases."""

    @property
    def attempt(self) -> int:
        """Number of the current attempt."""

    @property
    def is_final(self) -> bool:
        """Whether the work has ended."""


R = TypeVar("R", bound=Work)


@dataclass(frozen=True)
class Resources:
    """What the tasks of a worker share."""

    files: Files
    registry: ModelRegistry
    storage: Storage
    leases: Leases
    settings: Settings
    access: EngineAccess


class EngineTask(ABC, Generic[R]):
    """A task that asks engines for a record's work, under the lease of the record's attempt.

    It stops early and hands its work back once `draining` is set.
    """

    superseded: ClassVar[type[Exception]]
    """Raised by writes of an attempt that is no longer the record's current one."""

    def __init__(self, resources: Resources) -> None:
        self._files = resources.files
        self._registry = resources.registry
        self._storage = resources.storage
        self._leases = resources.leases
        self._settings = resources.settings
        self._access = resources.access
        self.draining = asyncio.Event()  # set when the worker shuts down

    async def run(self, _ctx: dict[str, Any], project_id: str, subject: str, attempt: int) -> None:
        """Run the task. Does nothing if the work has ended or another attempt does it."""
        with self._logged(subject):
            try:
                async with self._leases.hold(subject, attempt) as lease_lost:
                    record = await self._find(project_id, subject)
                    if self._is_current(record, attempt) and not self.draining.is_set():
                        await self._do(record, lease_lost)
            except (Held, Missing, self.superseded):
                log.info("attempt %d at %s is no longer this worker's", attempt, subject)

    async def _is_ours(self, record: R) -> bool:
        """Return whether the record still names this attempt."""
        current = await self._find(record.project_id, record.subject)
        return self._is_current(current, record.attempt)

    def _is_current(self, record: R | None, attempt: int) -> TypeGuard[R]:
        return record is not None and record.attempt == attempt and not record.is_final

    def _logged(self, _subject: str) -> AbstractContextManager[object]:
        """Add fields to the logs of the work."""
        return nullcontext()

    @abstractmethod
    async def _find(self, project_id: str, subject: str) -> R | None:
        """Return the record of this name in the queue."""

    @abstractmethod
    async def _do(self, record: R, lease_lost: asyncio.Event) -> None:
        """Work until the work ends, or the lease, the record or the worker does."""

    @abstractmethod
    async def _hand_back(self, record: R) -> None:
        """Enqueue the next attempt, because the worker stops."""


class CancelableTask(EngineTask[R]):
    """A task whose work is canceled when it stops early."""

    async def _do(self, record: R, lease_lost: asyncio.Event) -> None:
        ending = await watched(
            asyncio.create_task(self._work(record)),
            draining=self.draining,
            lease_lost=lease_lost,
            is_ours=lambda: self._is_ours(record),
        )
        if ending is Ending.LOST:
            await self._clear(record)
            raise self.superseded(record.id)
        if ending is Ending.STOPPED:
            await self._hand_back(record)
            log.info("attempt %d at %s is handed back", record.attempt, record.subject)

    @abstractmethod
    async def _work(self, record: R) -> None:
        """Do the work, and write the final status."""

    async def _clear(self, record: R) -> None:
        """Remove what a lost attempt may have left."""
