"""Work on many objects, some at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

T = TypeVar("T")
_AT_ONCE: Final = 8  # a small object is held in memory: 64 MiB in total


async def each(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do the work for each item. The first error ends all work and is raised."""
    waiting = iter(items)

    async def take() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(take())
    except ExceptionGroup as e:
        raise e.exceptions[0] from None
