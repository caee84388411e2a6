"""ASGI middleware: request IDs, logs and metrics, limits on JSON bodies, spans, and CORS.

It is plain ASGI, so that streams are not buffered.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Container, Sequence

from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.core import ids, logs, metrics, tracing
from service.core.metric_types import OTHER
from service.web import security_headers

_LIMITED_BY_THE_ROUTE = re.compile(
    r"/v1/(?:files|uploads/[^/]+/parts|chat/completions|completions|responses|embeddings)"
)
_QUIET = frozenset({"/livez", "/readyz"})
_PASSED_ON = (b"traceparent", b"tracestate")
# Response headers that a page may read, in addition to those that are always readable.
_READABLE = ("etag", "retry-after", "x-request-id", "x-should-retry", "content-disposition")
_CORS_METHODS = ("GET", "POST", "PUT", "DELETE")
_PREFLIGHT_CACHED_S = 600
log = logging.getLogger(__name__)
_REQUEST_ID = re.compile(rb"[0-9A-Za-z._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestContext:
    """Gives each request an ID, and logs and counts its response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI event."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _incoming_id(scope) or ids.request_id()
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.perf_counter(), 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [h for h in message.get("headers", ()) if h[0] != b"x-request-id"]
                identified = (b"x-request-id", request_id.encode())
                message["headers"] = [*own, *security_headers.missing(own), identified]
            await send(message)

        with logs.bound(logs.request_id, request_id):
            try:
                await self.app(scope, receive, send_with_id)
            finally:
                _observe(scope, status, time.perf_counter() - started)


def _incoming_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return bytes(value).decode()
    return None


def _observe(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "unmatched")
    method = scope["method"] if scope["method"] in _METHODS else OTHER  # clients can send any text
    metrics.HTTP_REQUESTS.cell(method, route, str(status)).inc()
    metrics.HTTP_SECONDS.cell(method, route).observe(seconds)
    log.info(
        "%s %s %d",
        scope["method"],
        route,
        status,
        extra={"duration_ms": round(seconds * 1000, 1)},
    )


class BodyLimit:
    """Rejects JSON bodies over `max_bytes` or slower than `timeout_s`, while they are read.

    Uploads and inference read their own bodies as streams with their own limits. Only the route
    exempts a request, because the client controls the content type.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI event."""
        if scope["type"] != "http" or _limits_itself(scope):
            await self.app(scope, receive, send)
            return
        body = _Body(receive, self.max_bytes, self.timeout_s)
        await self.app(scope, body.receive, send)


class _Body:
    """A request body. Raises HTTPException, the error type that FastAPI passes through."""

    def __init__(self, receive: Receive, max_bytes: int, timeout_s: float) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._ends_at = asyncio.get_running_loop().time() + timeout_s
        self._size = 0
        self._is_whole = False

    async def receive(self) -> Message:
        """Return the next message. After the complete body, only a disconnect can follow."""
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._ends_at):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408,
                f"The body was not complete after {self._timeout_s:g} seconds. Send it without "
                f"pauses.",
            ) from None
        self._is_whole = not message.get("more_body", False)
        self._size += len(message.get("body", b""))
        if self._size > self._max_bytes:
            raise HTTPException(413, f"The body is over the limit of {self._max_bytes} bytes.")
        return message


def _limits_itself(scope: Scope) -> bool:
    return scope["method"] == "POST" and _LIMITED_BY_THE_ROUTE.fullmatch(scope["path"]) is not None


class Traced:
    """Wraps each request in a span, if tracing is enabled.

    The span is the parent of all spans created below, in this process and the next one. Its
    `traceparent` replaces the caller's in the request headers.
    """

    def __init__(self, app: ASGIApp, *, routes: Container[str]) -> None:
        """Create the middleware. `routes` are paths of routes that bypass FastAPI."""
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI event."""
        if scope["type"] != "http" or scope["path"] in _QUIET:
            await self._app(scope, receive, send)
            return
        parent = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _PASSED_ON
        }
        method = scope["method"]
        with tracing.span(method, parent=parent, kind="server") as span:
            others = [h for h in scope["headers"] if h[0] not in _PASSED_ON]
            own = [(k.encode(), v.encode()) for k, v in tracing.carrier().items()]
            scope["headers"] = [*others, *own]
            status = 0
            answered = False

            async def send_traced(message: Message) -> None:
                nonlocal status, answered
                if message["type"] == "http.response.start":
                    status = message["status"]
                elif not answered:
                    answered = True
                    span.event("first byte")
                await send(message)

            try:
                await self._app(scope, receive, send_traced)
            finally:
                route = getattr(scope.get("route"), "path", None)
                if route is None and scope["path"] in self._routes:
                    route = scope["path"]
                _describe(span, method, route or "unmatched", status)


def _describe(span: tracing.Span, method: str, route: str, status: int) -> None:
    span.rename(f"{method} {route}")
    span.set_standard(
        {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    )
    if status >= 500:
        span.fail(str(status))


def allow_origins(origins: Sequence[str], app: ASGIApp) -> CORSMiddleware:
    """Wrap the app so that pages of these origins can call it.

    Callers of other origins authenticate with a key, never with a cookie, so credentials stay
    disabled (browser_sessions.py refuses them, too).
    """
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=_CORS_METHODS,
        allow_headers=("*",),  # OpenAI's SDK sends a dozen custom headers
        expose_headers=_READABLE,
        max_age=_PREFLIGHT_CACHED_S,
    )
