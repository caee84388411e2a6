"""ASGI middleware around vLLM's server: restricts its routes and holds adapters in use.

vLLM's API key protects only `/v1`. Without this guard `/invocations`, `/tokenize` and, if resolvers
are enabled, the routes that load and unload adapters would be open. The guard blocks everything
except the four inference routes (with the key), `/health` and `/metrics`. If the GPU is
time-sliced, it also serves two routes of this service that put the engine to sleep and wake it
(with the key).

During a request, its adapter's folder is held in the cache; see adapters.py.

vLLM raises in the middle of some streams, such as a /v1/responses stream whose grammar it aborts.
The server would then break the connection, and the gateway would treat the engine as dead. One
caller's request must not have that effect, so such streams end with an error event.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import math
import os
import threading
import time
import traceback
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.core import metrics
from service.core.errors import (
    ApiError,
    BadRequest,
    InternalError,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from service.inference.engine import process
from service.inference.engine.adapters import AdapterBroken, AdapterUnavailable
from service.inference.engine.sleep import Sleeper
from service.inference.headers import ADAPTER, SLEEP_PATH, STOPPING, WAKE_PATH
from service.web.probing import START_HEADER, confirmation

# vLLM's message for an aborted request, which the gateway knows, and ours for other failures.
_GAVE_UP, _STREAM_FAILED = "Internal server error", "The engine failed in this stream."


async def end_streams_with_errors(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let vLLM answer the request. If it fails during a stream, end the stream with an error."""
    is_open = False  # a stream has started and not ended

    async def watched(message: Message) -> None:
        nonlocal is_open
        if message["type"] == "http.response.start":
            is_open = _is_stream(message)
        elif not message.get("more_body", False):
            is_open = False
        await send(message)

    try:
        await app(scope, receive, watched)
    except Exception as e:  # vLLM can raise anything
        if not is_open:
            raise
        causes = _causes(e)
        # No tracebacks: they may contain parts of a prompt.
        log.error("a stream failed: %s", ", ".join(map(_place, causes)))
        message, status = _message_and_status(causes)
        error = {"message": message, "type": "InternalServerError", "param": None, "code": status}
        event = b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
        await send({"type": "http.response.body", "body": event})


def _message_and_status(causes: list[BaseException]) -> tuple[str, int]:
    """Return the message and the status of an error, as vLLM has them outside of streams."""
    for cause in causes:
        name = type(cause).__name__
        if name == "GenerationError":
            return _GAVE_UP, 500
        if name == "VLLMValidationError":
            return str(cause), 400
        if (status := getattr(cause, "http_status", None)) is not None:  # GracefulHTTPError
            return str(cause), int(status)
    return _STREAM_FAILED, 500


def _causes(error: BaseException) -> list[BaseException]:
    """Return the error and its chain of causes."""
    found = [error]
    while (cause := found[-1].__cause__ or found[-1].__context__) and cause not in found:
        found.append(cause)
    return found


def _place(error: BaseException) -> str:
    """Return the type of an error and the line that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return " at ".join([type(error).__name__, *(f"{at.filename}:{at.lineno}" for at in last)])


def _is_stream(start: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in start["headers"]
    )


log = logging.getLogger(__name__)

INFERENCE_PATHS = frozenset(
    {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"}
)
_TURN_PATHS = frozenset({SLEEP_PATH, WAKE_PATH})
_OPEN_PATHS = frozenset({"/health", "/metrics"})
_ADAPTER = ADAPTER.encode()
# Retry-After of a sleeping engine. A training may take longer.
_RETRY_AFTER_S = 30
_MAX_LEASE_S, _MAX_HOLDER_CHARS = 3600.0, 200
# For requests that are tokenized, or whose adapter is fetched, when the engine is told to stop.
_ADMIT_S = 10.0
_admitted: ContextVar[asyncio.Event | None] = ContextVar("admitted", default=None)


class EngineGuard:
    """Guard middleware. The engine's `--middleware` names it; vLLM makes it the outermost layer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._key = b"Bearer " + os.environ["VLLM_API_KEY"].encode()
        if process.is_ours():
            process.adapt_answers()
        self._sleeper = process.sleeper()
        self._housekeeping: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._entering: set[asyncio.Event] = set()  # set once the engine has the request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass allowed requests on and reject the rest."""
        if scope["type"] == "http" and self._housekeeping is None and process.is_ours():
            self._housekeeping = process.start_housekeeping(scope["app"].state)
            self._note_stop(scope["app"].state.engine_client)
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["method"] == "GET" and scope["path"] in _OPEN_PATHS:
            await self._probe(scope, receive, send)
        elif scope["method"] == "POST" and scope["path"] in INFERENCE_PATHS:
            if await self._has_key(scope, send):
                await self._infer(scope, receive, send)
        elif self._sleeper and scope["method"] == "POST" and scope["path"] in _TURN_PATHS:
            if await self._has_key(scope, send):
                await _turn(self._sleeper, scope, send)
        else:
            await _refuse(send, NotFound("Not Found"))

    async def _has_key(self, scope: Scope, send: Send) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(given, self._key):
            return True
        await _refuse(send, Unauthenticated("The engine's key is missing or wrong."))
        return False

    async def _probe(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The gateway's health check uses this too, and then prefers another replica.
        if scope["path"] == "/health" and self._is_stopping:
            await _refuse_stopping(send)
        elif scope["path"] == "/health" and self._sleeper and self._sleeper.closed:
            await _refuse_asleep(send)
        else:
            if scope["path"] == "/metrics" and process.is_ours():
                process.adapters().observe()
            await self._app(scope, receive, _confirmed(scope, send))

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_stopping:
            await _refuse_stopping(send)
            return
        admitted = asyncio.Event()
        self._entering.add(admitted)
        _admitted.set(admitted)
        try:
            await self._infer_awake(scope, receive, send)
        finally:
            admitted.set()
            self._entering.discard(admitted)

    async def _infer_awake(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._sleeper is None:
            await self._held(scope, receive, send)
        elif self._sleeper.closed:
            await _refuse_asleep(send)
        else:
            with self._sleeper.request():
                await self._held(scope, receive, send)

    def _note_stop(self, engine: Any) -> None:
        """Refuse requests once vLLM stops its engine, after it has those that were not refused.

        vLLM's server listens until the last answer is complete. It would end new requests at once
        without an answer, or fail on them.
        """
        stop, add = engine.shutdown, engine.add_request
        loop, thread = asyncio.get_running_loop(), threading.get_ident()

        async def add_request(*args: Any, **options: Any) -> Any:
            try:
                return await add(*args, **options)
            finally:
                if (admitted := _admitted.get()) is not None:
                    admitted.set()

        async def until_admitted() -> None:
            async with asyncio.timeout(_ADMIT_S):
                await asyncio.gather(*(admitted.wait() for admitted in self._entering))
                await engine.list_loras()  # answered after the requests that were sent before

        def shutdown(*args: Any, **options: Any) -> Any:
            is_first, self._is_stopping = not self._is_stopping, True
            if is_first and threading.get_ident() != thread:  # of vLLM's executor
                with contextlib.suppress(Exception):  # vLLM can raise anything
                    asyncio.run_coroutine_threadsafe(until_admitted(), loop).result(2 * _ADMIT_S)
            return stop(*args, **options)

        engine.add_request, engine.shutdown = add_request, shutdown

    async def _held(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = dict(scope["headers"]).get(_ADAPTER)
        if name is None:
            await end_streams_with_errors(self._app, scope, receive, send)
            return
        began = time.perf_counter()
        try:
            async with process.adapters().hold(unquote(name.decode("ascii"))) as path:
                metrics.ADAPTER_WAIT_SECONDS.cell().observe(time.perf_counter() - began)
                metrics.ADAPTER_REQUESTS.cell("unknown" if path is None else "held").inc()
                if path is None:  # deleted: vLLM may remember the name but must not load it again
                    gone = NotFound("The model does not exist.", code="model_not_found")
                    await _refuse(send, gone)
                else:
                    await end_streams_with_errors(self._app, scope, receive, send)
        except AdapterUnavailable as e:
            metrics.ADAPTER_REQUESTS.cell("unavailable").inc()
            await _refuse(send, Unavailable(str(e), code="adapter_unavailable"))
        except AdapterBroken as e:
            metrics.ADAPTER_REQUESTS.cell("broken").inc()
            await _refuse(send, InternalError(str(e), code="model_not_loadable"))


def _confirmed(scope: Scope, send: Send) -> Send:
    """Answer a probe of `up` with the name of its start."""
    given = dict(scope["headers"]).get(START_HEADER.encode(), b"").decode("latin-1")
    added = [(k.encode(), v.encode()) for k, v in confirmation(given).items()]

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return sent if added else send


async def _turn(sleeper: Sleeper, scope: Scope, send: Send) -> None:
    """Put the engine to sleep or wake it, for the holder named in the request."""
    query = parse_qs(scope["query_string"].decode("ascii", "replace"))
    holder = query.get("holder", [""])[0]
    try:
        lease_s = float(query.get("lease_s", ["0"])[0])
    except ValueError:
        lease_s = math.nan
    if not 0 < len(holder) <= _MAX_HOLDER_CHARS or not 0 <= lease_s <= _MAX_LEASE_S:
        wrong = BadRequest("holder or lease_s is missing or wrong", code="invalid_value")
        await _refuse(send, wrong)
        return
    engine = scope["app"].state.engine_client  # the client of vLLM's own server
    try:
        if scope["path"] == SLEEP_PATH:
            await sleeper.sleep(engine, holder, lease_s)
        else:
            await sleeper.wake(engine, holder)
    except Exception:  # vLLM can raise anything
        log.exception("the engine cannot be put to sleep or woken up")
        failed = InternalError("The engine failed to sleep or wake up.", code="engine_error")
        await _refuse(send, failed)
        return
    await _send_json(send, 200, {"closed": sleeper.closed})


async def _refuse_stopping(send: Send) -> None:
    message = "The engine is stopping. Try again in a few seconds."
    await _refuse(send, Unavailable(message, code="engine_unavailable", headers={STOPPING: "1"}))


async def _refuse_asleep(send: Send) -> None:
    error = Unavailable(
        "A job is training on this engine's GPU. Try again later.",
        code="engine_sleeping",
        headers={"retry-after": str(_RETRY_AFTER_S)},
    )
    await _refuse(send, error)


async def _refuse(send: Send, error: ApiError) -> None:
    headers = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    await _send_json(send, error.status, error.body(), *headers)


async def _send_json(
    send: Send, status: int, content: dict[str, Any], *headers: tuple[bytes, bytes]
) -> None:
    body = json.dumps(content).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
