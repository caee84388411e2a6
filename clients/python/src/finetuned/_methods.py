"""Makes methods of flows: `retrieve = method(flows.retrieve)`.

The parameters, their types and the docstring are the flow's own; they stand in one place for
both clients.
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
    """A group of methods of `Client`."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner


class AsyncResource:
    """A group of methods of `AsyncClient`."""

    def __init__(self, runner: AsyncRunner) -> None:
        self._runner = runner


class _Method(Generic[P, T]):
    """What the four kinds share: the flow, and how its method looks."""

    shown = "{}"

    def __init__(self, flow: Callable[P, Any]) -> None:
        self.flow = flow
        self.__doc__ = flow.__doc__
        signature = inspect.signature(flow)
        kind = str(signature.return_annotation).partition("[")[2].removesuffix("]")
        self.signature = signature.replace(return_annotation=self.shown.format(kind))

    def bound(self, call: Callable[..., Any]) -> Any:
        """The method as `help` and editors see it."""
        made = wraps(self.flow)(call)
        made.__signature__ = self.signature  # type: ignore[attr-defined]
        return made


class method(_Method[P, T]):  # noqa: N801 - used as a decorator is
    """Answers one value."""

    def __init__(self, flow: Callable[P, Flow[T]]) -> None:
        super().__init__(flow)

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: Resource, kind: type) -> Callable[P, T]: ...
    def __get__(self, owner: Resource | None, kind: type) -> Any:
        """The method of a client."""
        if owner is None:
            return self
        return self.bound(lambda *args, **more: owner._runner.run(self.flow(*args, **more)))  # noqa: SLF001


class items(_Method[P, T]):  # noqa: N801
    """Answers an iterator."""

    shown = "Iterator[{}]"

    def __init__(self, flow: Callable[P, Items[T]]) -> None:
        super().__init__(flow)

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: Resource, kind: type) -> Callable[P, Iterator[T]]: ...
    def __get__(self, owner: Resource | None, kind: type) -> Any:
        """The method of a client."""
        if owner is None:
            return self
        return self.bound(lambda *args, **more: owner._runner.iterate(self.flow(*args, **more)))  # noqa: SLF001


class async_method(_Method[P, T]):  # noqa: N801
    """Answers an awaitable of one value."""

    shown = "Coroutine[Any, Any, {}]"

    def __init__(self, flow: Callable[P, Flow[T]]) -> None:
        super().__init__(flow)

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: AsyncResource, kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, owner: AsyncResource | None, kind: type) -> Any:
        """The method of a client."""
        if owner is None:
            return self
        return self.bound(lambda *args, **more: owner._runner.run(self.flow(*args, **more)))  # noqa: SLF001


class async_items(_Method[P, T]):  # noqa: N801
    """Answers an asynchronous iterator."""

    shown = "AsyncIterator[{}]"

    def __init__(self, flow: Callable[P, Items[T]]) -> None:
        super().__init__(flow)

    @overload
    def __get__(self, owner: None, kind: type) -> Self: ...
    @overload
    def __get__(self, owner: AsyncResource, kind: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, owner: AsyncResource | None, kind: type) -> Any:
        """The method of a client."""
        if owner is None:
            return self
        return self.bound(lambda *args, **more: owner._runner.iterate(self.flow(*args, **more)))  # noqa: SLF001
