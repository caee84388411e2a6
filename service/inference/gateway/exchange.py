"""Handles a request to a model, from its arrival to the end of its response.

Callbacks do this without awaiting. A request that has to wait, such as for a lookup, a slot at the
engine or a new connection, gets a task until it is sent.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import time
from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from types import coroutine
from typing import Any, Final, Protocol

import msgspec

from service.core import ids, logs, metrics
from service.core.errors import (
    ApiError,
    Busy,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Unavailable,
)
from service.core.metric_types import Cell, HistogramCell
from service.core.redis import REDIS_ERRORS, why
from service.inference.chat_load import ChatReports
from service.inference.gateway import request_body
from service.inference.gateway.admission import Admissions, PreparedRequest
from service.inference.gateway.client import Client, RequestHeaders
from service.inference.gateway.engine_errors import (
    ERROR_MARK,
    MAX_ERROR_BYTES,
    leading_error,
    map_error,
    map_events,
)
from service.inference.gateway.parameters import PATHS, RequestRules
from service.inference.gateway.request_body import ClientGone
from service.inference.gateway.usage_tap import usage_of
from service.inference.upstreams import Answer, NotSent, Upstreams, header_lines
from service.inference.upstreams.replicas import Replica
from service.models.lookup import model_not_found
from service.models.registry import ModelRegistry
from service.usage.accounts import CLIENT_GONE
from service.web import security_headers
from service.web.auth import Authenticator, Principal
from service.web.openai_only import instead
from service.web.permissions import Permission
from service.web.request_audit import ModelRequests

log = logging.getLogger(__name__)

_ALLOWED: Final = {"/v1/chat/completions": "DELETE, GET, POST"}  # of chats that are stored
_SAFE: Final = b"".join(b"%b: %b\r\n" % header for header in security_headers.SAFE)
_STREAM: Final = b"".join(b"%b: %b\r\n" % header for header in security_headers.STREAM)


class ChatCopy(Protocol):
    """The copy of a chat in progress."""

    def keep(self, chunk: bytes) -> None:
        """Add a part of the response's body."""
        ...

    def end(self, status: int) -> None:
        """End the copy. `status` is that of the response in the end."""
        ...


class ChatCopies(Protocol):
    """What stores chats. Neither waits for anything nor raises."""

    def begin(
        self, caller: Principal, path: str, names: tuple[str, str], body: bytes
    ) -> ChatCopy | None:
        """Begin a copy, or return None if the chat is not stored.

        `names` are the name of the model in the request, and its own name.
        """
        ...


@dataclass(frozen=True)
class Resources:
    """What all requests of the gateway use."""

    authenticator: Authenticator
    registry: ModelRegistry
    upstreams: Upstreams
    admissions: Admissions
    rules: RequestRules
    max_body_bytes: int
    client_timeout_s: float
    reports: ChatReports | None
    audited: ModelRequests | None
    copies: ChatCopies | None


class Exchange:
    """A request and its response."""

    first_byte_s: float | None = None
    status = 0
    """Status of the response in the end; 0 until it begins."""
    _task: asyncio.Task[None] | None = None
    _request: PreparedRequest | None = None
    """The request, once it is admitted."""
    _answer: Answer | None = None
    _replica: Replica | None = None
    """The replica that the request was sent to."""
    _error = b""
    """What has arrived of an engine's error."""
    _copy: ChatCopy | None = None
    _stalled: asyncio.TimerHandle | None = None
    """Timer of a client that does not read."""
    _is_stream = _is_over = False
    _at_event_start = True

    def __init__(
        self, resources: Resources, client: Client, notes: RequestHeaders, live: set[Exchange]
    ) -> None:
        """`live` has the requests that are being answered."""
        self.arrived = time.perf_counter()
        self.request_id = notes.request_id or ids.request_id()
        self._resources = resources
        self._client = client
        self._notes = notes
        self._live = live

    @property
    def seconds(self) -> float:
        """Seconds since the request arrived."""
        return time.perf_counter() - self.arrived

    def start(self) -> None:
        """Begin to answer."""
        self._live.add(self)
        self._client.responder = self
        self._run(self._admit_and_send())

    def client_gone(self) -> None:
        """Stop, because the client disconnected. The engine stops, too."""
        if not self._is_over:
            self.status = CLIENT_GONE
            self._end()
            if self._task is not None:
                self._task.cancel()

    def client_ready(self) -> None:
        """Continue to respond to a client that was slow."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
            self._relay()

    def cut(self) -> None:
        """Stop, because the client does not read."""
        self._client.abort()
        self.client_gone()

    def stop(self, error: ApiError) -> None:
        """Stop with an error, because the process ends."""
        self.fail(error)
        if self._task is not None:
            self._task.cancel()

    def _run(self, steps: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine, in a task from its first `_in_task()` on."""
        try:
            steps.send(None)
        except StopIteration:
            return
        context = contextvars.copy_context()
        context.run(logs.request_id.set, self.request_id)
        self._task = asyncio.get_running_loop().create_task(steps, context=context)

    # --- before the engine

    async def _admit_and_send(self) -> None:
        try:
            self._request = request = await self._admit()
            await self._send(request)
        except Exception as e:  # noqa: BLE001 — `fail` logs what is unexpected
            self.fail(e)

    async def _admit(self) -> PreparedRequest:
        used, client, path = self._resources, self._client, self._client.path
        if client.method != "POST" or path not in PATHS:
            raise _not_served(client.method, path)
        authorization = self._notes.authorization
        caller = used.authenticator.remembered(authorization)
        if caller is None:
            await _in_task()
            caller = await used.authenticator.authenticate(authorization, client.scope)
        if not caller.may_request_models:
            await _in_task()
            await used.authenticator.require(caller, Permission.MODEL_REQUEST, client.scope)
        body = client.body
        if body is None:
            await _in_task()
            body = await client.read(used.max_body_bytes)
        elif len(body) > used.max_body_bytes:
            raise request_body.too_large(used.max_body_bytes)
        request = used.rules.parse(path, body)
        if not caller.sees(request.model):
            raise model_not_found(request.model)
        found = used.registry.remembered(caller.project_id, request.model)
        if found is None:
            await _in_task()
            found = await used.registry.resolve(caller.project_id, request.model)
        if found is None:
            raise model_not_found(request.model)
        if caller.capture is not None and used.copies is not None:
            names = (request.model, found.model.name)
            self._copy = used.copies.begin(caller, path, names, body)
        prepared = used.admissions.prepare(caller, path, request, body, found)
        try:
            used.admissions.admit(prepared)
        except Busy:
            await _in_task()
            await used.admissions.admit_in_turn(prepared)
        return prepared

    async def _send(self, request: PreparedRequest) -> None:
        used = self._resources
        if used.reports:
            used.reports.begin(self)
        if used.audited:
            await _in_task()
            await used.audited.record(self._client.scope, request.caller, request.model.name)
        replica = None
        route = used.upstreams.route(request.model.base_model, request.adapter)
        if route is not None:
            queue = route[0].queue
            request.slot = queue.take_free(*request.size)
            if request.slot is None:
                await _in_task()
                request.slot = await queue.take(*request.size)
                route = used.upstreams.route(request.model.base_model, request.adapter) or route
            replica = used.upstreams.pick(route)
            if replica is not None:
                lines = f"x-request-id: {self.request_id}\r\n{self._notes.lines}"
                body = request.body
                answer = used.upstreams.begin(route, replica, request.path, body, lines)
                if answer is not None:
                    self._answer, self._replica = answer, replica
                    answer.listen(self._relay)
                    return
        await self._connect_and_send(request, replica)

    async def _connect_and_send(self, request: PreparedRequest, first: Replica | None) -> None:
        """Send a request on a new connection, preferably to a replica that was picked."""
        await _in_task()
        self._answer = await self._resources.upstreams.send(
            request.model.base_model,
            request.path,
            request.body,
            {"x-request-id": self.request_id, **self._notes.forwarded},
            adapter=request.adapter,
            first=first,
        )
        self._relay()

    def _try_again(self, answer: Answer, request: PreparedRequest, first: Replica | None) -> None:
        answer.close()
        self._answer = None
        self._run(self._send_again(request, first))

    async def _send_again(self, request: PreparedRequest, first: Replica | None) -> None:
        try:
            await self._connect_and_send(request, first)
        except Exception as e:  # noqa: BLE001 — `fail` logs what is unexpected
            self.fail(e)

    # --- the response

    def _relay(self) -> None:
        """Pass on what has arrived of the engine's response."""
        try:
            assert self._answer is not None
            assert self._request is not None
            self._pass_on(self._answer, self._request)
        except Exception as e:  # noqa: BLE001 — `fail` logs what is unexpected
            self.fail(e)

    def _pass_on(self, answer: Answer, request: PreparedRequest) -> None:
        chunk, has_ended = answer.read_nowait(), answer.ended
        if not chunk and not has_ended:
            with logs.bound(logs.request_id, self.request_id):
                failure = answer.failure
            if failure is None:
                self._await_more(answer)
            elif isinstance(failure, NotSent):
                self._try_again(answer, request, self._replica)
            else:
                raise failure
        elif answer.status >= 300:
            if answer.is_refused:
                self._try_again(answer, request, None)
            else:
                self._take_error(answer, request, chunk)
        elif self.status:
            self._write(request, chunk, has_ended=has_ended)
        else:
            self._begin(answer, request, chunk, has_ended=has_ended)
        if chunk and not has_ended and not self._is_over and self._answer is answer:
            self._await_more(answer)

    def _await_more(self, answer: Answer) -> None:
        """Continue when the engine has sent more, and the client has read what was sent."""
        if self._client.is_slow:
            answer.listen(None)
            loop, timeout_s = asyncio.get_running_loop(), self._resources.client_timeout_s
            self._stalled = loop.call_later(timeout_s, self.cut)
        else:
            answer.listen(self._relay)

    def _take_error(self, answer: Answer, request: PreparedRequest, chunk: bytes) -> None:
        self._error += chunk
        if answer.ended or len(self._error) >= MAX_ERROR_BYTES:
            body = self._error[:MAX_ERROR_BYTES]
            answer.note_error(body)
            with logs.bound(logs.request_id, self.request_id):
                raise map_error(answer.status, body, request.for_errors)

    def _begin(
        self, answer: Answer, request: PreparedRequest, chunk: bytes, *, has_ended: bool
    ) -> None:
        """Begin the response, once some of its body is there.

        An engine that dies before then results in a plain error.
        """
        content_type = answer.headers.get(b"content-type", b"application/json")
        length = answer.headers.get(b"content-length")
        self._is_stream = content_type.startswith(b"text/event-stream")
        if self._is_stream and ERROR_MARK in chunk:
            with logs.bound(logs.request_id, self.request_id):
                error = leading_error(chunk, request.for_errors)
            if error is not None:
                self._is_stream = False
                raise error
        self.first_byte_s = self.seconds
        self.status = status = answer.status
        headers = b"content-type: %b\r\nx-request-id: %b\r\n%b%b%b" % (
            content_type,
            self.request_id.encode(),
            b"" if length is None or self._is_stream else b"content-length: %b\r\n" % length,
            _STREAM if self._is_stream else _SAFE,
            request.admission.header_lines,
        )
        if has_ended and length is not None and not self._is_stream:
            request.usage = usage_of(chunk)
            if self._copy is not None:
                self._copy.keep(chunk)
            self._client.respond(status, headers, chunk)
            self._end()
            return
        has_length = length is not None and not self._is_stream
        self._client.begin(status, headers, has_length=has_length)
        self._write(request, chunk, has_ended=has_ended)

    def _write(self, request: PreparedRequest, chunk: bytes, *, has_ended: bool) -> None:
        tap = request.tap
        body = tap.pass_on(chunk)
        if has_ended:
            body += tap.finish()
        if self._is_stream and ERROR_MARK in body:
            with logs.bound(logs.request_id, self.request_id):
                body = map_events(body, request.for_errors)
        if body:
            self._at_event_start = body.endswith(b"\n\n")
            if self._copy is not None:
                self._copy.keep(body)
        if has_ended:
            self._client.end(body)
            self._end()
        elif body:
            self._client.write(body)

    # --- the end

    def fail(self, error: Exception) -> None:
        """Report a failure to the client in the way that is still possible.

        Before the response starts, the failure is sent as a status and a body. In a stream, it is
        an error event, which the SDKs raise. A plain body cannot carry an error: it stays shorter
        than its Content-Length, and the connection is closed.
        """
        if self._is_over:
            return
        with logs.bound(logs.request_id, self.request_id):
            if isinstance(error, ClientGone):
                self.cut()
                return
            self._report(self._error_for_client(error))
            self._end()

    def _error_for_client(self, error: Exception) -> ApiError:
        if isinstance(error, ApiError):
            return error
        if isinstance(error, REDIS_ERRORS):
            log.warning("Redis is unavailable: %s", why(error))
            return Unavailable("A backing service is unavailable. Try again in a few seconds.")
        log.error("the gateway failed", exc_info=error)
        return InternalError(
            "The service failed on this request. Give the operator the request id: "
            f"{self.request_id}."
        )

    def _report(self, error: ApiError) -> None:
        body = msgspec.json.encode(error.body())
        if not self.status:
            self.status = error.status
            headers = b"content-type: application/json\r\ncontent-length: %d\r\n%b%b%b" % (
                len(body),
                b"x-request-id: %b\r\n" % self.request_id.encode(),
                header_lines(error.headers).encode(),
                _SAFE,
            )
            self._client.respond(error.status, headers, body)
        elif self._is_stream:
            self.status = error.status
            start = b"data: " if self._at_event_start else b"\n\ndata: "
            self._client.end(start + body + b"\n\n")
        else:
            self._client.abort()

    def _end(self) -> None:
        """Account for the request, once."""
        if self._is_over:
            return
        self._is_over = True
        self._live.discard(self)
        self._client.responder = None
        if self._stalled is not None:
            self._stalled.cancel()
        if self._answer is not None:
            self._answer.close()
        if self._resources.reports:
            self._resources.reports.end(self)
        seconds = self.seconds
        if self._request is not None:
            admissions = self._resources.admissions
            admissions.end(self._request, self.status, self.first_byte_s, seconds)
        if self._copy is not None:
            self._copy.end(self.status)
        _observe(self._client.method, self._client.path, self.status, seconds)


@coroutine
def _in_task() -> Generator[None, None, None]:
    """Continue in a task, because what follows may have to wait."""
    yield


def _not_served(method: str, path: str) -> ApiError:
    """Return the error of a request that is not for the gateway."""
    if path not in PATHS:
        return NotFound("Unknown request URL.", code="unknown_url")
    what = instead(path.removeprefix("/v1/"))
    return MethodNotAllowed(
        f"Method {method} is not allowed here; use POST. {what}".rstrip(),
        headers={"allow": _ALLOWED.get(path, "POST")},
    )


def _observe(method: str, path: str, status: int, seconds: float) -> None:
    """Count an answered request."""
    route = path if path in PATHS else "unmatched"
    requests, histogram = _cells(method, route, status)
    requests.value += 1
    histogram.observe(seconds)
    if status >= 500:
        log.warning("%s %s %d", method, route, status)


@functools.lru_cache(maxsize=1024)
def _cells(method: str, route: str, status: int) -> tuple[Cell, HistogramCell]:
    return (
        metrics.HTTP_REQUESTS.cell(method, route, str(status)),
        metrics.HTTP_SECONDS.cell(method, route),
    )
