"""Runs flows in an asyncio event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
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
        self.chunks = response.aiter_raw()


class AsyncRunner:
    """Asynchronous flow runner."""

    def __init__(
        self,
        target: Target,
        *,
        timeout_s: float,
        max_retries: int,
        http: httpx2.AsyncClient | None,
    ) -> None:
        self.target = target
        self.max_retries = max_retries
        self.owns_http = http is None
        self.http = http or httpx2.AsyncClient(**_transport.options(target, timeout_s))

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow and return its result."""
        async with AsyncExitStack() as opened:
            try:
                step = next(flow)
                while True:
                    step = resume(flow, await self._outcome(step, opened))
            except StopIteration as end:
                answer: T = end.value
                return answer

    async def iterate(self, items: Items[T]) -> AsyncIterator[T]:
        """Run a flow and yield its items."""
        async with AsyncExitStack() as opened:
            try:
                step = next(items)
                while True:
                    if isinstance(step, Item):
                        yield step.value
                        step = next(items)
                    else:
                        step = resume(items, await self._outcome(step, opened))
            except StopIteration:
                return

    async def _outcome(self, step: Step, opened: AsyncExitStack) -> Outcome:
        try:
            return Outcome(await self._do(step, opened))
        except Exception as e:  # noqa: BLE001 - the flow decides
            return Outcome(error=e)

    async def _do(self, step: Step, opened: AsyncExitStack) -> Any:
        match step:
            case Try(request):
                return await self._try(request)
            case Send(request):
                return await self.run(_retry.retrying(request, self.max_retries))
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case Run(function):
                return await asyncio.to_thread(function)
            case Where():
                return self.target.base_url
            case Together(flows, at_once):
                return await self._together(flows, at_once)
            case Open(request):
                return await self._open(request, opened)
            case Next(stream):
                with _transport.translated_errors(self.target.base_url):
                    return await anext(stream.chunks, None)
            case Close(stream):
                await stream.response.aclose()
        return None

    def _arguments(self, request: Request) -> dict[str, Any]:
        return _transport.arguments(self.target, request, self.http.timeout)

    async def _try(self, request: Request) -> Answer:
        with _transport.translated_errors(self.target.base_url):
            built = self.http.build_request(**self._arguments(request))
            return _transport.answer_of(await self.http.send(built))

    async def _open(self, request: Request, opened: AsyncExitStack) -> Opened:
        with _transport.translated_errors(self.target.base_url):
            built = self.http.build_request(**self._arguments(request))
            response = await self.http.send(built, stream=True)
            opened.push_async_callback(response.aclose)
            if response.status_code < 300:
                return Opened(_Stream(response))
            await response.aread()
            return Opened(None, _transport.answer_of(response))

    async def _together(self, flows: Iterator[Flow[Any]], at_once: int) -> list[Any]:
        answers: dict[int, Any] = {}
        turn = asyncio.Lock()
        numbered = enumerate(flows)

        async def work() -> None:
            while True:
                async with turn:
                    number, flow = await asyncio.to_thread(next, numbered, (-1, None))
                if flow is None:
                    return
                answers[number] = await self.run(flow)

        tasks = [asyncio.create_task(work()) for _ in range(at_once)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return [answers[number] for number in sorted(answers)]
