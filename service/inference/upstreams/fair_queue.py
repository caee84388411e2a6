"""The fair queue of projects in front of the engines of a model.

An engine works on all its requests concurrently and becomes slower with each. It queues those for
which it has no room in the order of arrival, so a project with many requests delays all others. So
this process sends each engine a limited number of requests, and the others wait here. A free slot
goes to the waiting project whose requests had the fewest tokens since the queue formed (virtual
token counters: Sheng et al., Fairness in Serving Large Language Models, OSDI 2024). A project that
joins starts with the lowest count of those that wait, so earlier use gives it no credit. No slot
stays free while requests wait, except for one that needs several.
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
from service.core.errors import ApiError, RateLimited, Unavailable

WAIT_S: Final = 60.0
_START_RETRY_S: Final = "10"
# Tokens that a project with requests in progress may have used less than those that wait.
_MAX_CREDIT: Final = 8192
MAX_WAITING: Final = 1024
# Each waiting request holds its body.
MAX_WAITING_BYTES: Final = 128 * 1024 * 1024


class Slot:
    """A request's slot at an engine. End it once."""

    __slots__ = ("_queue", "answers", "body_bytes", "granted", "project", "since_s", "tokens")

    def __init__(
        self, queue: FairQueue, project: _Project, tokens: int, answers: int, body_bytes: int
    ) -> None:
        self._queue = queue
        self.project = project
        self.tokens = tokens
        self.answers = answers
        self.body_bytes = body_bytes
        self.granted: asyncio.Future[None] | None = None
        """Resolved when a waiting request may be sent."""
        self.since_s = 0.0  # when it began to wait

    def end(self) -> None:
        """Give the slot to the next request."""
        self._queue.end(self)


class _Project:
    __slots__ = ("counted", "name", "queue_number", "running", "started", "tokens", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.running = 0  # requests
        self.tokens = 0  # of requests in progress
        self.counted = 0  # tokens since the queue formed
        self.queue_number = 0  # the queue during which they were counted
        self.started = 0  # position of its last request in the order of starts
        self.waiting: deque[Slot] = deque()


class FairQueue:
    """The requests of this process at the engines of one model, and those that wait.

    `slots` returns the number of answers that the engines may work on concurrently; 0 if none
    serves, for which requests wait up to `start_wait_s`. At most
    `max_waiting` requests wait, with at most `max_waiting_bytes` in their bodies; a project may use
    half of each. Use it in one event loop.
    """

    def __init__(
        self,
        model: str,
        slots: Callable[[], int],
        *,
        wait_s: float = WAIT_S,
        start_wait_s: float = 0.0,
        max_waiting: int = MAX_WAITING,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._queue_length = metrics.ENGINE_WAITING_REQUESTS.cell(model)
        self._slots = slots
        self._wait_s = wait_s
        self._start_wait_s = start_wait_s
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

    def take_free(self, name: str, tokens: int, answers: int, body_bytes: int) -> Slot | None:
        """Take a slot for a project's request if none waits and the engine has room."""
        if self._queues or not self._has_room(answers):
            return None
        slot = self._slot(name, tokens, answers, body_bytes)
        self._start(slot)
        return slot

    async def take(self, name: str, tokens: int, answers: int, body_bytes: int) -> Slot:
        """Wait for a slot for a project's request. Raises RateLimited and Unavailable.

        `tokens` is the size of the request and `answers` the number of slots that it needs; one
        that needs more than there are gets all of them.
        """
        slot = self.take_free(name, tokens, answers, body_bytes)
        if slot is None:
            slot = self._slot(name, tokens, answers, body_bytes)
            await self._wait(slot)
        return slot

    def _slot(self, name: str, tokens: int, answers: int, body_bytes: int) -> Slot:
        project = self._projects.get(name)
        if project is None:
            project = self._projects[name] = _Project(name)
        return Slot(self, project, tokens, answers, body_bytes)

    def end(self, slot: Slot) -> None:
        """Free the slot of a request that has ended."""
        project = slot.project
        project.running -= 1
        project.tokens -= slot.tokens
        self._taken -= slot.answers
        self._forget(project)
        self.fill()

    def _has_room(self, answers: int) -> bool:
        slots = self._slots()
        return slots > 0 and (not self._taken or self._taken + answers <= slots)

    def _start(self, slot: Slot) -> None:
        project = slot.project
        project.running += 1
        project.tokens += slot.tokens
        project.counted += slot.tokens
        project.started = next(self._starts)
        self._taken += slot.answers

    async def _wait(self, slot: Slot) -> None:
        if self._is_full(slot):
            self._forget(slot.project)
            raise self._overloaded("has no room for another request")
        slot.since_s = time.monotonic()
        slot.granted = asyncio.get_running_loop().create_future()
        self._join(slot)
        wait_s = self._wait_s if self._slots() else self._start_wait_s
        try:
            await asyncio.wait([slot.granted], timeout=wait_s)
        except asyncio.CancelledError:
            if slot.granted.done():
                self.end(slot)
            raise
        finally:
            if not slot.granted.done():
                self._leave(slot)
                self.fill()  # it may have needed more slots than were free
        if not slot.granted.done():
            raise self._overloaded(f"had no room for {wait_s:.0f} seconds")

    def _join(self, slot: Slot) -> None:
        """Add a request to the queue."""
        project = slot.project
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
        project.waiting.append(slot)
        self._queues[project.name] = project
        self.waiting += 1
        self._queue_length.inc()
        self._waiting_bytes += slot.body_bytes

    def _is_full(self, slot: Slot) -> bool:
        """Return whether the queue is full, or half of it has requests of the same project."""
        own = slot.project.waiting
        return (
            self.waiting >= self._max_waiting
            or len(own) >= self._max_waiting // 2
            or self._waiting_bytes + slot.body_bytes > self._max_waiting_bytes
            or sum(other.body_bytes for other in own) + slot.body_bytes
            > self._max_waiting_bytes // 2
        )

    def fill(self) -> None:
        """Give free slots to the projects with the fewest tokens."""
        while self._queues:
            project = min(self._queues.values(), key=_order)
            slot = project.waiting[0]
            if not self._has_room(slot.answers):
                return
            self._start(slot)
            self._leave(slot)
            self._pace.move()
            self._waited.observe(time.monotonic() - slot.since_s)
            assert slot.granted is not None
            slot.granted.set_result(None)

    def _leave(self, slot: Slot) -> None:
        """Remove a request from the queue."""
        project = slot.project
        project.waiting.remove(slot)
        self.waiting -= 1
        self._queue_length.inc(-1)
        self._waiting_bytes -= slot.body_bytes
        if not project.waiting:
            del self._queues[project.name]
        self._forget(project)

    def _overloaded(self, what: str) -> ApiError:
        if not self._slots():
            return Unavailable(
                "The engine of the model is starting. Try again in a few seconds.",
                code="engine_unavailable",
                headers={"retry-after": _START_RETRY_S},
            )
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
