"""Sends requests, with retries, and turns responses into objects, pages and streams."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import httpx2

from finetuned import _request, _retry
from finetuned._async.pages import AsyncPage
from finetuned._concurrency import async_call, async_sleep
from finetuned._log import logger
from finetuned._paginator import AsyncPaginator, async_paginator
from finetuned._request import RawResponse, Request
from finetuned._retry import FINAL, Deadline, Patience
from finetuned.config import Target
from finetuned.errors import Conflict, ConnectionFailed, FinetunedError

T = TypeVar("T")


class AsyncTransport:
    """Connection to a server. The clients that `with_options` makes share its HTTP client."""

    def __init__(
        self,
        target: Target,
        *,
        timeout_s: float | None,
        max_retries: int,
        headers: Mapping[str, str],
        http: httpx2.AsyncClient,
    ) -> None:
        self.target = target
        self.timeout_s = timeout_s
        self.max_retries = max_retries
        # Names in lower case, so that a later header replaces an earlier one.
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.http = http

    async def request(self, kind: type[T], request: Request) -> T:
        """Send a request and return the response parsed as `kind`."""
        response = await self.send(request)
        return self._result(_request.parse(kind, response), request, response)

    async def page(self, kind: type[T], request: Request) -> AsyncPage[T]:
        """Send a request for a list and return its page."""
        response = await self.send(request)
        body = _request.load_page(response)
        items = [_request.validate(kind, item, response) for item in body["data"]]
        page = AsyncPage(self, kind, request, items, body, response.headers.get("x-request-id"))
        return self._result(page, request, response)

    def pages(self, kind: type[T], request: Request) -> AsyncPaginator[T]:
        """Return the list that a request is for."""
        return async_paginator(lambda: self.page(kind, request))

    def _result(self, found: T, request: Request, response: httpx2.Response) -> T:
        return cast("T", RawResponse(response, found)) if request.wants_raw_response else found

    async def send(self, request: Request, *, stream: bool = False) -> httpx2.Response:
        """Send a request, with retries if they are safe. Raises ApiError for an error."""
        max_retries = request.options.get("max_retries", self.max_retries)
        headers = {**self.headers, **request.own_headers()}
        tries = 0
        while True:
            outcome: httpx2.Response | ConnectionFailed
            try:
                outcome = await self._send_once(request, headers, stream)
            except ConnectionFailed as e:
                outcome = e
            if isinstance(outcome, httpx2.Response) and outcome.status_code < 300:
                return outcome
            wait_s = _retry.delay_s(request, outcome, tries, max_retries)
            if wait_s is None:
                raise outcome if isinstance(outcome, Exception) else _request.error_of(outcome)
            tries += 1
            logger.info("%s %s: retry %d in %.1f s", request.method, request.path, tries, wait_s)
            await async_sleep(wait_s)

    async def _send_once(
        self, request: Request, headers: Mapping[str, str], stream: bool
    ) -> httpx2.Response:
        began_s = time.monotonic()
        arguments = _request.build_arguments(self.target, request, headers, self.timeout_s)
        with _request.translated_errors(self.target.base_url):
            built = self.http.build_request(**arguments)
            response = await self.http.send(built, stream=stream)
            if stream and response.status_code >= 300:
                await response.aread()
                await response.aclose()
        logger.debug(
            "%s %s: %d in %.3f s (request %s)",
            request.method,
            request.path,
            response.status_code,
            time.monotonic() - began_s,
            response.headers.get("x-request-id"),
        )
        return response

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a request and read its body in chunks."""
        response = await self.send(request, stream=True)
        try:
            yield self._chunks(response)
        finally:
            await response.aclose()

    async def _chunks(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        with _request.translated_errors(self.target.base_url):
            async for chunk in response.aiter_raw():
                yield chunk

    def poll(self, deadline: Deadline) -> dict[str, Any]:
        """Return options of a request that the server answers when an object has ended.

        The server holds it longer than a short `timeout`, or that of an `http_client`, allows.
        """
        wait_s = deadline.left_s(_retry.MAX_POLL_S)
        return {"wait": wait_s, "timeout": wait_s + (self.timeout_s or _retry.ANSWER_S)}

    async def wait(
        self,
        retrieve: Callable[[], Awaitable[T]],
        deadline: Deadline,
        *,
        on_change: Callable[[T], object] | None = None,
    ) -> T:
        """Retrieve an object until its status is final, and return it. Raises TimedOut.

        A server that is down or restarts is tried again for 300 s. `on_change` is called with the
        object when it differs from the last one.
        """
        patience, seen, pause_s = Patience(), None, 0.25
        while True:
            try:
                found = await retrieve()
            except FinetunedError as e:
                wait_s = patience.delay_s(e)
            else:
                patience.heard()
                wait_s, pause_s = pause_s, min(pause_s * 1.5, 2.0)
                if on_change is not None and found != seen:
                    seen = found
                    await async_call(on_change, found)
                if getattr(found, "status", None) in FINAL:
                    return found
            deadline.check()
            await async_sleep(wait_s)

    async def when_files_are_ready(
        self, create: Callable[[], Awaitable[T]], deadline: Deadline
    ) -> T:
        """Repeat a request that needs checked files until they are checked. Raises TimedOut."""
        while True:
            try:
                return await create()
            except Conflict as e:  # noqa: PERF203 - each try is a request
                if e.code != "not_ready":
                    raise
                deadline.check()
                await async_sleep(min(e.retry_after_s or 2.0, 10.0))


class AsyncResource:
    """Base class of method groups."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport
