"""Lists of the asynchronous client, whose first page is read when it is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from finetuned._async.pages import AsyncPage
    from finetuned._sync.pages import Page

T = TypeVar("T")


class AsyncPaginator(Generic[T]):
    """A list: `await` it for its first page, or iterate over it for all objects."""

    def __init__(self, read: Callable[[], Coroutine[Any, Any, AsyncPage[T]]]) -> None:
        self._read = read

    def __await__(self) -> Generator[Any, None, AsyncPage[T]]:
        return self._read().__await__()

    async def __aiter__(self) -> AsyncIterator[T]:
        async for item in await self._read():
            yield item


async_paginator = AsyncPaginator


def paginator(read: Callable[[], Page[T]]) -> Page[T]:
    """Return the first page, which the synchronous client reads now."""
    return read()
