"""Queues of requests that wait for the limits on concurrent requests.

A program that sends a hundred requests at a time gets its answers one after another, instead of
errors to retry. The requests of a project wait in one queue, in the order of arrival; a request
that only its key's limit holds back lets those of other keys pass. Projects do not wait for each
other. Not thread-safe: use it in one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from service.core import metrics
from service.core.backpressure import Pace
from service.core.errors import Busy, RateLimited
from service.usage.accounts import Admission
from service.usage.limits import Subject
from service.web.auth import Principal

WAIT_S: Final = 60.0
MAX_WAITING: Final = 1024
# Each waiting request holds its body.
MAX_WAITING_BYTES: Final = 128 * 1024 * 1024


class WaitingRequest(NamedTuple):
    """The arguments of `Meter.admit`."""

    caller: Principal
    body_bytes: int
    max_tokens: int | None
    streamed: bool
    answers: int


class _Request:
    """A waiting request."""

    __slots__ = ("admission", "since_s", "wanted")

    def __init__(self, wanted: WaitingRequest) -> None:
        self.wanted = wanted
        self.since_s = time.monotonic()
        self.admission: asyncio.Future[Admission] = asyncio.get_running_loop().create_future()


class _Queue:
    """The waiting requests of a project."""

    def __init__(self, label: str) -> None:
        self.requests: deque[_Request] = deque()
        self.bytes = 0
        self.pace = Pace()
        self.length = metrics.LIMIT_WAITING_REQUESTS.cell(label)


class LimitQueues:
    """The queues of all projects in this process.

    At most `most` requests wait, with at most `most_bytes` in their bodies; a project may use half
    of each. `admit` admits a request that is next in its queue, and `release` ends one whose client
    has gone.
    """

    def __init__(
        self,
        admit: Callable[[WaitingRequest], Admission],
        release: Callable[[Admission], None],
        *,
        wait_s: float = WAIT_S,
        most: int = MAX_WAITING,
        most_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._admit = admit
        self._release = release
        self._wait_s = wait_s
        self._most = most
        self._most_bytes = most_bytes
        self._queues: dict[str, _Queue] = {}
        self._bytes = 0
        self._waited = metrics.QUEUE_SECONDS.cell("limit")

    @property
    def waiting(self) -> int:
        """Number of requests that wait."""
        return sum(len(queue.requests) for queue in self._queues.values())

    async def wait(self, wanted: WaitingRequest, project: Subject, label: str) -> Admission:
        """Wait until the limits admit a request. Raises RateLimited."""
        queue = self._queues.get(project.id) or _Queue(label)
        if self._is_full(queue, wanted.body_bytes):
            raise _refused(queue, f"{len(queue.requests)} of your requests are already waiting.")
        request = _Request(wanted)
        self._queues[project.id] = queue
        self._join(queue, project, request)
        self.fill(project)
        try:
            await asyncio.wait([request.admission], timeout=self._wait_s)
        except asyncio.CancelledError:
            if request.admission.done() and request.admission.exception() is None:
                self._release(request.admission.result())
            raise
        finally:
            if not request.admission.done():
                self._leave(queue, project, request)
                self.fill(project)  # it may have held back smaller requests
        if not request.admission.done():
            raise _refused(queue, f"Your request waited for {self._wait_s:.0f} seconds.")
        return request.admission.result()

    def fill(self, project: Subject) -> None:
        """Admit requests that wait for a project's limit, as long as it has room."""
        queue = self._queues.get(project.id)
        if queue is None:
            return
        held_back: set[str] = set()
        for request in [*queue.requests]:
            if not project.has_place(request.wanted.answers):
                return
            if request.wanted.caller.key_id in held_back:
                continue
            try:
                admission = self._admit(request.wanted)
            except Busy as e:
                if e.scope == "project":
                    return
                held_back.add(request.wanted.caller.key_id)
            except RateLimited as e:  # of another limit
                self._leave(queue, project, request)
                request.admission.set_exception(e)
            else:
                self._leave(queue, project, request)
                queue.pace.move()
                self._waited.observe(time.monotonic() - request.since_s)
                request.admission.set_result(admission)

    def _is_full(self, queue: _Queue, body_bytes: int) -> bool:
        return (
            self.waiting >= self._most
            or len(queue.requests) >= self._most // 2
            or self._bytes + body_bytes > self._most_bytes
            or queue.bytes + body_bytes > self._most_bytes // 2
        )

    def _join(self, queue: _Queue, project: Subject, request: _Request) -> None:
        queue.requests.append(request)
        queue.bytes += request.wanted.body_bytes
        self._bytes += request.wanted.body_bytes
        queue.length.inc()
        project.waiting += 1

    def _leave(self, queue: _Queue, project: Subject, request: _Request) -> None:
        queue.requests.remove(request)
        queue.bytes -= request.wanted.body_bytes
        self._bytes -= request.wanted.body_bytes
        queue.length.inc(-1)
        project.waiting -= 1
        if not queue.requests:
            self._queues.pop(project.id, None)


def _refused(queue: _Queue, why: str) -> Busy:
    return Busy(why, headers=queue.pace.retry_headers(len(queue.requests)))
