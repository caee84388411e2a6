"""Runs flows in the caller's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

import httpx2

from finetuned import _retry, _transport
from finetuned._http import Answer, Request
from finetuned._steps import (
    Close,
    Flow,
    Item,
    Items,
    Next,
    Open,
    Opened,
    Outcome,
    Run,
    Send,
    Sleep,
    Step,
    Together,
    Try,
    Where,
    resume,
)
from finetuned.config import Target

T = TypeVar("T")


class _Stream:
    """An open response body."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.chunks = response.iter_raw()


class Runner:
    """Synchronous flow runner. Threads can share one."""

    def __init__(
        self,
        target: Target,
        *,
        timeout_s: float,
        max_retries: int,
        http: httpx2.Client | None,
    ) -> None:
        self.target = target
        self.max_retries = max_retries
        self.owns_http = http is None
        self.http = http or httpx2.Client(**_transport.options(target, timeout_s))

    def run(self, flow: Flow[T]) -> T:
        """Run a flow and return its result."""
        with ExitStack() as opened:
            try:
                step = next(flow)
                while True:
                    step = resume(flow, self._outcome(step, opened))
            except StopIteration as end:
                answer: T = end.value
                return answer

    def iterate(self, items: Items[T]) -> Iterator[T]:
        """Run a flow and yield its items."""
        with ExitStack() as opened:
            try:
                step = next(items)
                while True:
                    if isinstance(step, Item):
                        yield step.value
                        step = next(items)
                    else:
                        step = resume(items, self._outcome(step, opened))
            except StopIteration:
                return

    def _outcome(self, step: Step, opened: ExitStack) -> Outcome:
        try:
            return Outcome(self._do(step, opened))
        except Exception as e:  # noqa: BLE001 - the flow decides
            return Outcome(error=e)

    def _do(self, step: Step, opened: ExitStack) -> Any:
        match step:
            case Try(request):
                return self._try(request)
            case Send(request):
                return self.run(_retry.retrying(request, self.max_retries))
            case Sleep(seconds):
                time.sleep(seconds)
            case Run(function):
                return function()
            case Where():
                return self.target.base_url
            case Together(flows, at_once):
                return self._together(flows, at_once)
            case Open(request):
                return self._open(request, opened)
            case Next(stream):
                with _transport.translated_errors(self.target.base_url):
                    return next(stream.chunks, None)
            case Close(stream):
                stream.response.close()
        return None

    def _arguments(self, request: Request) -> dict[str, Any]:
        return _transport.arguments(self.target, request, self.http.timeout)

    def _try(self, request: Request) -> Answer:
        with _transport.translated_errors(self.target.base_url):
            built = self.http.build_request(**self._arguments(request))
            return _transport.answer_of(self.http.send(built))

    def _open(self, request: Request, opened: ExitStack) -> Opened:
        with _transport.translated_errors(self.target.base_url):
            built = self.http.build_request(**self._arguments(request))
            response = self.http.send(built, stream=True)
            opened.callback(response.close)
            if response.status_code < 300:
                return Opened(_Stream(response))
            response.read()
            return Opened(None, _transport.answer_of(response))

    def _together(self, flows: Iterator[Flow[Any]], at_once: int) -> list[Any]:
        answers: dict[int, Any] = {}
        failures: list[BaseException] = []
        turn = threading.Lock()
        numbered = enumerate(flows)

        def work() -> None:
            try:
                while True:
                    with turn:
                        number, flow = (-1, None) if failures else next(numbered, (-1, None))
                    if flow is None:
                        return
                    answers[number] = self.run(flow)
            except BaseException as e:  # noqa: BLE001 - raised again by the caller's thread
                failures.append(e)

        # Daemon threads: an interrupted program does not wait for requests in flight.
        threads = [threading.Thread(target=work, daemon=True) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException as e:
            failures.append(e)
            raise
        if failures:
            raise failures[0]
        return [answers[number] for number in sorted(answers)]
