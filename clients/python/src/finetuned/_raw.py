"""Wrappers of methods, which return the response with its status and headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import ParamSpec

from finetuned._request import RawResponse

if TYPE_CHECKING:
    from finetuned._async.pages import AsyncPage
    from finetuned._paginator import AsyncPaginator

P = ParamSpec("P")
T = TypeVar("T")


def _raw(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **more: Any) -> Any:
        return method(*args, **more, raw=True)

    return call


def async_raw(method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[RawResponse[T]]]:
    """Return a method of the asynchronous client that returns a response."""
    return _raw(method)


def async_raw_list(
    method: Callable[P, AsyncPaginator[T]],
) -> Callable[P, Awaitable[RawResponse[AsyncPage[T]]]]:
    """Return a method that lists objects as one that returns the response of its first page."""
    return _raw(method)


def raw(method: Callable[P, T]) -> Callable[P, RawResponse[T]]:
    """Return a method of the synchronous client that returns a response."""
    return _raw(method)


raw_list = raw
