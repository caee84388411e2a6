"""One attempt at work on many items that asks engines and keeps its results in parts.

Results that are finished at the same time are stored as one part and recorded in one transaction. A
worker that dies loses at most the items that it was working on, and those whose results wait to be
stored.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Generic, TypeVar

from service.core.records import Missing
from service.files.records import FileRecord, Files
from service.inference.background.crew import Crew, Item, Outcome
from service.work.parts import PartedRecord, PartedStore, PartWriter
from service.work.records import AttemptSuperseded

R = TypeVar("R", bound=PartedRecord)


class PartedAttempt(ABC, Generic[R, Item, Outcome]):
    """Runs one attempt. `run()` ends with the work, or after `stop()`."""

    def __init__(self, record: R, store: PartedStore[R], files: Files) -> None:
        self._record = record
        self._store = store
        self._files = files
        self._writer = PartWriter(files.storage, record)
        self._crew: Crew[Item, Outcome] | None = None
        self._running: asyncio.Task[Any] | None = None
        self._starts_no_more = False
        self.stopped = False

    @property
    def ended(self) -> bool:
        """Whether the work has a final status."""
        return self._record.is_final

    async def run(self) -> None:
        """Do the rest of the work, and end it unless stopped.

        Raises AttemptSuperseded, Missing, REDIS_ERRORS, StorageError, and DatasetTaskFailed if the
        disk is full.
        """
        self._running = asyncio.current_task()
        await self._process()
        if not self.stopped and not self.ended:
            await self._finish()

    def stop(self) -> None:
        """Drop the items that are being worked on. Finished results are still stored.

        `run()` is canceled if it works on no items.
        """
        self.stopped = True
        if self._crew is not None:
            self._crew.stop()
        elif self._running is not None:
            self._running.cancel()

    def notice(self, current: R) -> None:
        """Start no more items if the current record says so."""
        if self._must_end(current):
            self._starts_no_more = True
            if self._crew is not None:
                self._crew.stop()

    @abstractmethod
    async def _process(self) -> None:
        """Work on all items without a result, unless stopped, and record how the work ends."""

    @abstractmethod
    async def _finish(self) -> None:
        """Write the files and end the work."""

    @abstractmethod
    def _must_end(self, current: R) -> bool:
        """Return whether no more items may be started."""

    @abstractmethod
    async def _keep(self, outcomes: list[Outcome]) -> None:
        """Store finished results as a part, and record them."""

    async def _work_on(
        self, items: Generator[Item], work: Callable[[Item], Awaitable[Outcome]], concurrency: int
    ) -> None:
        self._crew = Crew(work, self._keep)
        await self._crew.run(items, concurrency)
        self._crew = None

    async def _change(self, change: Callable[[R], R]) -> None:
        self._record = await self._store.change_own(self._record, change)

    async def _end(self, files: Sequence[FileRecord], end: Callable[[R], R]) -> None:
        """End the work and register its files in one transaction."""
        try:
            self._record = await self._store.change_own(
                self._record, end, lambda pipe, _: self._files.write_all_new(pipe, files)
            )
        except (AttemptSuperseded, Missing):
            # After any other error, the transaction may have been made, so its files stay.
            for file in files:
                await self._files.discard(file.project_id, file.id)
            raise
