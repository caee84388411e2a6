"""Steps of the client's logic, written once for both threads and asyncio.

Each client method is a generator, called a *flow*. It yields steps (send a request, sleep, open a
stream) and receives their results; its return value is the method's result. `_sync.py` and
`_async.py` execute the steps. Retries, polling, resumed uploads and reconnecting streams are
therefore implemented once, and so are each method's parameters and docstring.

A flow that produces several objects yields each one as an `Item`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, cast

from finetuned._http import Answer, Request, error_of, parse

T = TypeVar("T")


@dataclass(frozen=True)
class Try:
    """Step: send a request once → Answer. Raises ConnectionFailed."""

    request: Request


@dataclass(frozen=True)
class Send:
    """Step: send a request, with retries if safe → Answer. Raises ConnectionFailed."""

    request: Request


@dataclass(frozen=True)
class Sleep:
    """Step: wait."""

    seconds: float


@dataclass(frozen=True)
class Run:
    """Step: call a function that may block → its result."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Where:
    """Step: get the server's base URL."""


@dataclass(frozen=True)
class Together:
    """Step: run flows with limited concurrency → their results in order.

    Flows are taken from the iterator one at a time, only when there is room for another; the
    iterator may block.
    """

    flows: Iterator[Flow[Any]]
    at_once: int


@dataclass(frozen=True)
class Open:
    """Step: send a request once, leave the body unread → Opened. Raises ConnectionFailed."""

    request: Request


@dataclass(frozen=True)
class Next:
    """Step: read from a stream → bytes, or None at its end. Raises ConnectionFailed."""

    stream: Any


@dataclass(frozen=True)
class Close:
    """Step: close a stream. Streams still open are closed when the flow ends."""

    stream: Any


@dataclass(frozen=True)
class Item(Generic[T]):
    """One of several results of a flow."""

    value: T


@dataclass(frozen=True)
class Opened:
    """A stream whose headers arrived: an error response, or `stream` to read with Next."""

    stream: Any
    error: Answer | None = None


Step: TypeAlias = Try | Send | Sleep | Run | Where | Together | Open | Next | Close
Flow: TypeAlias = Generator[Step, Any, T]
Items: TypeAlias = Generator[Step | Item[T], Any, None]


@dataclass(frozen=True)
class Outcome:
    """Outcome of a step: its result or its exception."""

    result: Any = None
    error: Exception | None = None


def resume(flow: Generator[Any, Any, Any], outcome: Outcome) -> Any:
    """Send a step's outcome to its flow → the next step. Raises StopIteration at the end."""
    if outcome.error is not None:
        return flow.throw(outcome.error)
    return flow.send(outcome.result)


def send(request: Request) -> Flow[Answer]:
    """Send a request and return the response. Raises ApiError for an error response."""
    answer = cast("Answer", (yield Send(request)))
    if not answer.ok:
        raise error_of(answer)
    return answer


def fetch(kind: type[T], request: Request) -> Flow[T]:
    """Send a request and return the response parsed as `kind`."""
    answer = yield from send(request)
    return parse(kind, answer)


def run(function: Callable[[], T]) -> Flow[T]:
    """Call a function that may block and return its result."""
    return cast("T", (yield Run(function)))
