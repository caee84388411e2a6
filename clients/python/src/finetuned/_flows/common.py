"""Helpers shared by the flows: paths, pagination and polling."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

from finetuned._http import Request
from finetuned._model import Model
from finetuned._steps import Flow, Item, Items, Sleep, fetch, run
from finetuned.errors import (
    BadRequest,
    Conflict,
    ConnectionFailed,
    RateLimited,
    ServerError,
    TimedOut,
)


class Work(Protocol):
    """Work of the server that is `in_progress` until it has ended."""

    @property
    def status(self) -> str: ...


T = TypeVar("T")
W = TypeVar("W", bound=Work)
_PAGE = 100
PATIENCE_S = 300.0
"""How long the server may be unreachable while a method waits for its work."""


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


def wait_until(
    is_final: Callable[[T], bool],
    retrieve: Callable[[], Flow[T]],
    deadline: Deadline,
    *,
    pause_s: Callable[[T], float] = lambda _: 2.0,
    on_change: Callable[[T], object] | None = None,
    watched: Callable[[T], object] = lambda found: found,
) -> Flow[T]:
    """Retrieve an object every `pause_s` until it is final, and return it.

    A server that is down or restarts is tried again for `PATIENCE_S`. `on_change` is called with
    the object when its `watched` value differs from the last one. Raises TimedOut.
    """
    heard_s, seen = time.monotonic(), None
    while True:
        try:
            found = yield from retrieve()
        except (ConnectionFailed, ServerError, RateLimited) as e:
            if e.status == 500 or time.monotonic() - heard_s > PATIENCE_S:
                raise
            wait_s = e.retry_after_s or 1.0
        else:
            heard_s, wait_s = time.monotonic(), pause_s(found)
            if on_change is not None and (value := watched(found)) != seen:
                seen = value
                yield from run(lambda found=found: on_change(found))  # type: ignore[misc]
            if is_final(found):
                return found
        deadline.check()
        yield Sleep(wait_s)


def wait_for_end(
    created: W, retrieve: Callable[[], Flow[W]], deadline: Deadline, *, pause_s: float = 0.5
) -> Flow[W]:
    """Return work that was just created once it has ended. Raises TimedOut."""
    if created.status != "in_progress":
        return created
    return (
        yield from wait_until(
            lambda found: found.status != "in_progress",
            retrieve,
            deadline,
            pause_s=lambda _: pause_s,
        )
    )


def when_files_are_ready(create: Callable[[], Flow[T]], deadline: Deadline) -> Flow[T]:
    """Repeat a request that needs checked files until they are checked. Raises TimedOut."""
    while True:
        try:
            return (yield from create())
        except Conflict as e:  # noqa: PERF203  # each try is a request
            if e.code != "not_ready":
                raise
            deadline.check()
            yield Sleep(min(e.retry_after_s or 2.0, 10.0))
