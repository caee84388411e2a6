"""Maps a function over tasks in forked processes, with results in order.

The standard library's pools leave orphans if the parent is killed. Here, each worker reads
its tasks from a pipe. When the parent ends, the pipe closes and the worker exits.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from service.datasets.checks.issues import refuse

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_T = TypeVar("_T")
_R = TypeVar("_R")


def map_ordered(
    function: Callable[[_T], _R], tasks: Iterable[_T], *, processes: int = 1
) -> Iterator[_R]:
    """Yield `function(task)` for each task, in order. Results must be picklable.

    With one process or one task, everything runs in the caller's process. Raises DatasetError
    if a worker dies. Exceptions raised by `function` propagate.
    """
    waiting = deque(tasks)
    if processes <= 1 or len(waiting) <= 1:
        yield from map(function, waiting)
        return
    workers = [_Worker(function) for _ in range(min(processes, len(waiting)))]
    try:
        # Each worker gets two tasks: one runs while the next waits in the pipe.
        order: deque[_Worker] = deque()
        for worker in workers * 2:
            if waiting:
                worker.send(waiting.popleft())
                order.append(worker)
        while order:
            worker = order.popleft()
            result = worker.receive()
            if waiting:
                worker.send(waiting.popleft())
                order.append(worker)
            yield result
    finally:
        for worker in workers:
            worker.close()


class _Worker:
    """A forked process that returns the result or the error of each task."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        import multiprocessing  # most files need only one process

        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(function, theirs, self._pipe), daemon=True
        )
        self._process.start()
        theirs.close()

    def send(self, task: Any) -> None:
        try:
            self._pipe.send(task)
        except ConnectionError:
            raise refuse("worker_died") from None

    def receive(self) -> Any:
        try:
            done, result = self._pipe.recv()
        except (EOFError, ConnectionError):
            raise refuse("worker_died") from None
        if not done:
            raise result
        return result

    def close(self) -> None:
        self._pipe.close()
        self._process.kill()  # children of a worker ignore SIGTERM
        self._process.join()


def _serve(function: Callable[[Any], Any], pipe: Connection, parents_end: Connection) -> None:
    parents_end.close()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            task = pipe.recv()
            try:
                answer = (True, function(task))
            except Exception as error:  # noqa: BLE001 - sent to the parent, which raises it
                answer = (False, error)
            pipe.send(answer)
