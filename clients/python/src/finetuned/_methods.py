"""Descriptors that turn flows into client methods: `retrieve = method(flows.retrieve)`.

Parameters, types and docstring come from the flow, so both clients share one definition.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Generic, TypeVar, overload

from typing_extensions import ParamSpec, Self

from finetuned._async import AsyncRunner
from finetuned._steps import Flow, Items
from finetuned._sync import Runner

P = ParamSpec("P")
T = TypeVar("T")


class Resource:
    """Base class for method groups of `Client`."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner


class AsyncResource:
    """Base class for method groups of `AsyncClient`."""

    def __init__(self, runner: AsyncRunner) -> None:
        self._runner = runner


class _Method(Generic[P, T]):
    """Shared base of the four descriptors: the flow and its signature."""

    shown = "{}"

    def __init__(self, flow: Callable[P, Any]) -> None:
        self.flow = flow
        self.__doc__ = flow.__doc__
        signature = inspect.signature(flow)
        kind = str(signature.return_annotation).partition("[")[2].removesuffix("]")
        self.signature = signature.replace(return_annotation=self.shown.format(kind))

    def bound(self, call: Callable[..., Any]) -> Any:
        """Return the method as `help` and editors show it."""
        made = wraps(self.flow)(call)
        made.__signature__ = self.signature  # type: ignore[attr-defined]
        return made


class method(_Method[P, T]):  # noqa: N801 - used like a decorator
    """Method that returns a single value."""

    def __init__(self, flow: Callable[P, Flow[T]]) -> None:
        super().__init__(flow)

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: Resource, kind: type) -> Callable[P, T]: ...
    def __get__(self, owner: Resource | None, kind: type) -> Any:
        """Return the method bound to a client."""
        if owner is None:
            return self
        return self.bound(lambda *args, **more: owner._runner.run(self.flow(*args, **more)))  # noqa: SLF001


class items(_Method[P, T]):  # noqa: N801
    """Method that returns an iterator."""

    shown = "Iterator[{}]"

    def __init__(self, flow: Callable[P, Items[T]]) -> None:
        super().__init__(flow)

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: Resource, kind: type) -> Callable[P, Iterator[T]]: ...
    def __get__(self, owner: Resource | None, kind: type) -> Any:
        """Return the method bound to a client."""
        if owner is None:
            return self
        return self.bound(lambda *args, **more: owner._runner.iterate(self.flow(*args, **more)))  # noqa: SLF001


class async_method(_Method[P, T]):  # noqa: N801
    """Method that returns an awaitable of a single value."""

    shown = "Coroutine[Any, Any, {}]"

    def __init__(self, flow: Callable[P, Flow[T]]) -> None:
        super().__init__(flow)

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: AsyncResource, kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, owner: AsyncResource | None, kind: type) -> Any:
        """Return the method bound to a client."""
        if owner is None:
            return self
        return self.bound(lambda *args, **more: owner._runner.run(self.flow(*args, **more)))  # noqa: SLF001


class async_items(_Method[P, T]):  # noqa: N801
    """Method that returns an async iterator."""

    shown = "AsyncIterator[{}]"

    def __init__(self, flow: Callable[P, Items[T]]) -> None:
        super().__init__(flow)

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: AsyncResource, kind: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, owner: AsyncResource | None, kind: type) -> Any:
        """Return the method bound to a client."""
        if owner is None:
            return self
        return self.bound(lambda *args, **more: owner._runner.iterate(self.flow(*args, **more)))  # noqa: SLF001
