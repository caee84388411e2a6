"""What the client does, written once for threads and for asyncio.

A method of the client is a generator, a *flow*: it yields steps (send this, sleep, open a
stream) and is sent their results; what it returns is the method's answer. `_sync.py` and
`_async.py` carry steps out. So retries, polls, resumed uploads and reconnecting streams exist
in one copy, and each method's parameters and docstring too.

A flow that answers many objects one by one yields them as `Item`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, cast

from finetuned._http import Answer, Request, error_of, parse

T = TypeVar("T")


@dataclass(frozen=True)
class Try:
    """Send a request once → Answer. Raises ConnectionFailed."""

    request: Request


@dataclass(frozen=True)
class Send:
    """Send a request, again where that is safe and helps → Answer. Raises ConnectionFailed."""

    request: Request


@dataclass(frozen=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True)
class Run:
    """Call a function that may block → its result."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Where:
    """→ the base URL of the server."""


@dataclass(frozen=True)
class Together:
    """Run flows, so many at a time → their answers in order.

    The iterator is asked for the next flow only when there is room for it, by one at a time,
    and may block.
    """

    flows: Iterator[Flow[Any]]
    at_once: int


@dataclass(frozen=True)
class Open:
    """Send a request once and leave its body to be read → Opened. Raises ConnectionFailed."""

    request: Request


@dataclass(frozen=True)
class Next:
    """Read on in a stream → bytes, or None at its end. Raises ConnectionFailed."""

    stream: Any


@dataclass(frozen=True)
class Close:
    """Be done with a stream. Those that are still open are closed when the flow ends."""

    stream: Any


@dataclass(frozen=True)
class Item(Generic[T]):
    """One of many answers."""

    value: T


@dataclass(frozen=True)
class Opened:
    """A stream whose head has come: an error's answer, or `stream` to read with Next."""

    stream: Any
    error: Answer | None = None


Step: TypeAlias = Try | Send | Sleep | Run | Where | Together | Open | Next | Close
Flow: TypeAlias = Generator[Step, Any, T]
Items: TypeAlias = Generator[Step | Item[T], Any, None]


@dataclass(frozen=True)
class Outcome:
    """What came of a step: its result, or what it raised."""

    result: Any = None
    error: Exception | None = None


def resume(flow: Generator[Any, Any, Any], outcome: Outcome) -> Any:
    """Tell a flow the outcome of its step → its next step. Raises StopIteration at its end."""
    if outcome.error is not None:
        return flow.throw(outcome.error)
    return flow.send(outcome.result)


def send(request: Request) -> Flow[Answer]:
    """The answer; raises ApiError for one that is an error."""
    answer = cast("Answer", (yield Send(request)))
    if not answer.ok:
        raise error_of(answer)
    return answer


def fetch(kind: type[T], request: Request) -> Flow[T]:
    """The answer as an object."""
    answer = yield from send(request)
    return parse(kind, answer)


def run(function: Callable[[], T]) -> Flow[T]:
    """What a function that may block returns."""
    return cast("T", (yield Run(function)))
