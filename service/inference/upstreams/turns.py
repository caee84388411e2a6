"""Turns of projects at the engines of a model.

An engine answers all its requests at once and becomes slower with each, and puts those for which it
has no room into a queue in the order of arrival, where a project with many requests delays all
others. So this process sends each engine a limited number of requests, and the others wait here.
A free place goes to the waiting project whose requests had the fewest tokens since the queue formed
(virtual token counters: Sheng et al., Fairness in Serving Large Language Models, OSDI 2024). A
project that joins starts with the lowest count of those that wait, so what it used before is no
credit. No place stays free while requests wait, except for one that needs several.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from service.core import metrics
from service.core.backpressure import Pace
from service.core.errors import RateLimited

WAIT_S: Final = 60.0
# Tokens that a project with requests in progress may have used less than those that wait.
_MAX_CREDIT: Final = 8192
MAX_WAITING: Final = 1024
# Each waiting request holds its body.
MAX_WAITING_BYTES: Final = 128 * 1024 * 1024


class Turn:
    """A place at an engine. End it once."""

    __slots__ = ("_turns", "answers", "body_bytes", "place", "project", "since_s", "tokens")

    def __init__(
        self, turns: Turns, project: _Project, tokens: int, answers: int, body_bytes: int
    ) -> None:
        self._turns = turns
        self.project = project
        self.tokens = tokens
        self.answers = answers
        self.body_bytes = body_bytes
        self.place: asyncio.Future[None] | None = None
        """Resolved when a waiting request may be sent."""
        self.since_s = 0.0  # when it began to wait

    def end(self) -> None:
        """Give the place to the next request."""
        self._turns.end(self)


class _Project:
    __slots__ = ("counted", "name", "queue_number", "running", "started", "tokens", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.running = 0  # requests
        self.tokens = 0  # of requests in progress
        self.counted = 0  # tokens since the queue formed
        self.queue_number = 0  # the queue during which they were counted
        self.started = 0  # place of its last request in the order of starts
        self.waiting: deque[Turn] = deque()


class Turns:
    """The requests of this process at the engines of one model, and those that wait.

    `places` returns the number of answers that the engines may work on at once. At most
    `max_waiting` requests wait, with at most `max_waiting_bytes` in their bodies; a project may use
    half of each. Use it in one event loop.
    """

    def __init__(
        self,
        model: str,
        places: Callable[[], int],
        *,
        wait_s: float = WAIT_S,
        max_waiting: int = MAX_WAITING,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._queue_length = metrics.ENGINE_WAITING_REQUESTS.cell(model)
        self._places = places
        self._wait_s = wait_s
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._projects: dict[str, _Project] = {}
        self._queues: dict[str, _Project] = {}  # those that wait
        self._queue_number = 0
        self._starts = itertools.count(1)
        self._taken = 0
        self.waiting = 0
        """Number of requests that wait."""
        self._waiting_bytes = 0
        self._pace = Pace()
        self._waited = metrics.QUEUE_SECONDS.cell("engine")

    def take_free(self, name: str, tokens: int, answers: int, body_bytes: int) -> Turn | None:
        """Take a place for a project's request if none waits and the engine has room."""
        if self._queues or not self._has_room(answers):
            return None
        turn = self._turn(name, tokens, answers, body_bytes)
        self._start(turn)
        return turn

    async def take(self, name: str, tokens: int, answers: int, body_bytes: int) -> Turn:
        """Wait for a place for a project's request. Raises RateLimited.

        `tokens` is the size of the request and `answers` the number of places that it needs; one
        that needs more than there are gets all of them.
        """
        turn = self.take_free(name, tokens, answers, body_bytes)
        if turn is None:
            turn = self._turn(name, tokens, answers, body_bytes)
            await self._wait(turn)
        return turn

    def _turn(self, name: str, tokens: int, answers: int, body_bytes: int) -> Turn:
        project = self._projects.get(name)
        if project is None:
            project = self._projects[name] = _Project(name)
        return Turn(self, project, tokens, answers, body_bytes)

    def end(self, turn: Turn) -> None:
        """Free the place of a request that has ended."""
        project = turn.project
        project.running -= 1
        project.tokens -= turn.tokens
        self._taken -= turn.answers
        self._forget(project)
        if self._queues:
            self._fill()

    def _has_room(self, answers: int) -> bool:
        return not self._taken or self._taken + answers <= self._places()

    def _start(self, turn: Turn) -> None:
        project = turn.project
        project.running += 1
        project.tokens += turn.tokens
        project.counted += turn.tokens
        project.started = next(self._starts)
        self._taken += turn.answers

    async def _wait(self, turn: Turn) -> None:
        if self._is_full(turn):
            self._forget(turn.project)
            raise self._overloaded("has no room for another request")
        turn.since_s = time.monotonic()
        turn.place = asyncio.get_running_loop().create_future()
        self._join(turn)
        try:
            await asyncio.wait([turn.place], timeout=self._wait_s)
        except asyncio.CancelledError:
            if turn.place.done():
                self.end(turn)
            raise
        finally:
            if not turn.place.done():
                self._leave(turn)
                self._fill()  # it may have needed more places than were free
        if not turn.place.done():
            raise self._overloaded(f"had no room for {self._wait_s:.0f} seconds")

    def _join(self, turn: Turn) -> None:
        """Add a request to the queue."""
        project = turn.project
        if not self._queues:
            self._queue_number += 1
            self._pace.begin()
        if project.queue_number != self._queue_number:
            project.queue_number = self._queue_number
            project.counted = project.tokens
        if self._queues and not project.waiting:
            least = min(other.counted for other in self._queues.values())
            credit = _MAX_CREDIT if project.running else 0
            project.counted = max(project.counted, least - credit)
        project.waiting.append(turn)
        self._queues[project.name] = project
        self.waiting += 1
        self._queue_length.inc()
        self._waiting_bytes += turn.body_bytes

    def _is_full(self, turn: Turn) -> bool:
        """Return whether the queue is full, or half of it has requests of the same project."""
        own = turn.project.waiting
        return (
            self.waiting >= self._max_waiting
            or len(own) >= self._max_waiting // 2
            or self._waiting_bytes + turn.body_bytes > self._max_waiting_bytes
            or sum(other.body_bytes for other in own) + turn.body_bytes
            > self._max_waiting_bytes // 2
        )

    def _fill(self) -> None:
        """Give free places to the projects with the fewest tokens."""
        while self._queues:
            project = min(self._queues.values(), key=_order)
            turn = project.waiting[0]
            if not self._has_room(turn.answers):
                return
            self._start(turn)
            self._leave(turn)
            self._pace.move()
            self._waited.observe(time.monotonic() - turn.since_s)
            assert turn.place is not None
            turn.place.set_result(None)

    def _leave(self, turn: Turn) -> None:
        """Remove a request from the queue."""
        project = turn.project
        project.waiting.remove(turn)
        self.waiting -= 1
        self._queue_length.inc(-1)
        self._waiting_bytes -= turn.body_bytes
        if not project.waiting:
            del self._queues[project.name]
        self._forget(project)

    def _overloaded(self, what: str) -> RateLimited:
        return RateLimited(
            f"The engine is currently overloaded: it {what}. Please try again later.",
            code="engine_overloaded",
            headers=self._pace.retry_headers(self.waiting),
        )

    def _forget(self, project: _Project) -> None:
        if not project.running and not project.waiting:
            self._projects.pop(project.name, None)


def _order(project: _Project) -> tuple[int, int]:
    return project.counted, project.started
