"""Pages of lists."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from finetuned._request import Request

if TYPE_CHECKING:
    from finetuned._async.transport import AsyncTransport

T = TypeVar("T")


class AsyncPage(Generic[T]):
    """One page of a list. Iterating over it also reads the pages after it."""

    def __init__(
        self,
        transport: AsyncTransport,
        kind: type[T],
        request: Request,
        data: list[T],
        body: dict[str, Any],
        request_id: str | None,
    ) -> None:
        self._transport, self._kind, self._request = transport, kind, request
        self._next: str | None = body.get("next_page")
        self.data = data
        self.has_more: bool = bool(body.get("has_more")) and bool(data)
        self._request_id = request_id

    async def next_page(self) -> AsyncPage[T] | None:
        """Return the page after this one, or None if this is the last one."""
        if not self.has_more:
            return None
        cursor = {"page": self._next} if self._next else {"after": getattr(self.data[-1], "id", "")}
        params = {**self._request.params, **cursor}
        options: Any = {k: v for k, v in self._request.options.items() if k != "raw"}
        request = replace(self._request, params=params, options=options)
        return await self._transport.page(self._kind, request)

    async def __aiter__(self) -> AsyncIterator[T]:
        page: AsyncPage[T] | None = self
        while page is not None:
            for item in page.data:
                yield item
            page = await page.next_page()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(data={self.data!r}, has_more={self.has_more})"
