"""Concurrent calls of an evaluation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")


async def gather(call: Callable[[S], Awaitable[T]], over: Iterable[S]) -> list[T]:
    """Return the results of concurrent calls, in order. The first error cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(_coroutine(call(one))) for one in over]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [made.result() for made in calls]


async def _coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable
