"""Helpers shared by the flows: paths, pagination and polling."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from finetuned._http import Request
from finetuned._model import Model
from finetuned._steps import Item, Items, fetch
from finetuned.errors import BadRequest, TimedOut

T = TypeVar("T")
_PAGE = 100


class Page(Model, Generic[T]):
    """A page of results, in OpenAI's list format."""

    data: list[T]
    has_more: bool = False


def at(*parts: str) -> str:
    """Build a path from quoted parts, since names can contain slashes."""
    if not all(parts):
        raise BadRequest("The id is empty.", next_step="Pass the id of an object.")
    return "/".join(quote(part, safe=":") for part in parts)


def listed(
    kind: type[T],
    path: str,
    *,
    limit: int | None = None,
    after: str | None = None,
    params: Mapping[str, Any] | None = None,
) -> Items[T]:
    """Iterate over a list page by page, from `after` an id, up to `limit` objects."""
    left = limit
    while left is None or left > 0:
        cursor = {"limit": _PAGE if left is None else min(left, _PAGE), "after": after}
        request = Request("GET", path, params={**(params or {}), **cursor})
        page: Page[Any] = yield from fetch(Page[kind], request)  # type: ignore[valid-type]
        for one in page.data:
            yield Item(one)
        if not page.has_more or not page.data:
            return
        left = None if left is None else left - len(page.data)
        after = page.data[-1].id


class Deadline:
    """Time limit for server-side work; None means no limit."""

    def __init__(self, seconds: float | None, what: str) -> None:
        self._seconds = seconds
        self._what = what
        self._end = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Check the time limit. Raises TimedOut if it has passed."""
        if self._end is not None and time.monotonic() >= self._end:
            raise TimedOut(
                f"{self._what} did not finish within {self._seconds:g} s.",
                next_step="It continues on the server. Check again later.",
            )
