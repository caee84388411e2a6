"""Works on many items concurrently, and stores their outcomes in groups."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any, Final, Generic, TypeVar

WAITING: Final = 64
"""Maximum number of finished outcomes that are not stored yet."""
_GROUP: Final = 100  # outcomes

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Crew(Generic[Item, Outcome]):
    """Works on items with bounded concurrency, and stores their outcomes in groups."""

    def __init__(
        self,
        work: Callable[[Item], Awaitable[Outcome]],
        store: Callable[[list[Outcome]], Awaitable[None]],
    ) -> None:
        self._work = work
        self._store_group = store
        self._finished: asyncio.Queue[Outcome | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(WAITING)
        self._members: list[asyncio.Task[None]] = []
        self.stopped = False

    def stop(self) -> None:
        """Drop the items that are being worked on. Finished outcomes are still stored."""
        self.stopped = True
        for member in self._members:
            member.cancel()

    async def run(self, items: Generator[Item], size: int) -> None:
        """Work on all items, `size` at a time, unless stopped.

        Raises what the work on an item or the storing of a group raises.
        """
        with contextlib.closing(items):
            if self.stopped:
                return
            self._members = [asyncio.create_task(self._take(items)) for _ in range(size)]
            ends = asyncio.create_task(_first_exception(self._members))
            storing = asyncio.create_task(self._store())
            try:
                await asyncio.wait([ends, storing], return_when=asyncio.FIRST_COMPLETED)
                if ends.done():
                    await _cancel(self._members)
                    self._finished.put_nowait(None)
                await storing
                for member in self._members:
                    if not member.cancelled():
                        member.result()
            finally:
                await _cancel([*self._members, ends, storing])

    async def _take(self, items: Iterator[Item]) -> None:
        for item in items:
            outcome = await self._work(item)
            await self._room.acquire()
            self._finished.put_nowait(outcome)

    async def _store(self) -> None:
        last = False
        while not last:
            group = [await self._finished.get()]
            while len(group) < _GROUP and not self._finished.empty():
                group.append(self._finished.get_nowait())
            last = None in group
            if outcomes := [outcome for outcome in group if outcome is not None]:
                await self._store_group(outcomes)
                for _ in outcomes:
                    self._room.release()


async def _first_exception(tasks: list[asyncio.Task[None]]) -> None:
    """Wait until one of the tasks fails, or all have ended."""
    await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended. Their errors are kept."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # asyncio logs errors that nothing has read
