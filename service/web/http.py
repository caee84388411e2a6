"""Parts that all HTTP responses share: request IDs, error bodies, metrics, lists.

The middleware is plain ASGI so that streams pass through it unbuffered.
"""

from __future__ import annotations

import asyncio
import html
import json
import logging
import re
import shlex
import time
from collections.abc import Callable, Sequence
from typing import Final, Generic, Literal, Protocol, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from redis.exceptions import OutOfMemoryError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.core import ids, logs, metrics
from service.core.errors import (
    BY_STATUS,
    ApiError,
    BadRequest,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Unavailable,
    broken_json,
)
from service.core.metric_types import OTHER
from service.core.redis import REDIS_ERRORS, Unconfirmed, batched, why
from service.core.storage import StorageError, StorageFull
from service.core.storage.errors import no_room, redis_full
from service.web import safe_headers
from service.web.allowed_methods import allowed_methods
from service.web.openai_only import instead
from service.web.validation import from_validation

log = logging.getLogger(__name__)
_REQUEST_ID = re.compile(rb"[0-9A-Za-z._-]{1,64}")
T = TypeVar("T")
F = TypeVar("F")
_SHOWN_AT_ONCE = 100  # takes 2 ms
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestContext:
    """ASGI middleware that gives each request an ID, and logs and counts its response."""

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
                message["headers"] = [*own, *safe_headers.missing(own), identified]
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


BELOW_V1: Final = frozenset(
    {"aliases", "batches", "chat", "completions", "datasets", "embeddings", "erasure_receipts"}
    | {"evals", "exports", "files", "fine_tuning", "models", "organization", "recognizers"}
    | {"responses", "uploads", "webhook_endpoints", "webhook_event_types", "whoami"}
)
"""The first part of each path below `/v1`."""


def install_error_handlers(app: FastAPI) -> None:
    """Answer every failure with an error body in OpenAI's format."""

    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> Response:
        accepted = request.headers.get("accept", "")
        if error.status == 401 and request.method == "GET" and "text/html" in accepted:
            return _key_needed(request, error)
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return answer(from_validation(error.errors(), error.body))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, UnicodeDecodeError):
            return answer(broken_json(error.__cause__.object, error.__cause__.start))
        kind = BY_STATUS.get(error.status_code, BadRequest)
        code = {NotFound: "unknown_url", BadRequest: "invalid_body"}.get(kind)
        methods = allowed_methods(app.routes, request.scope) if kind is MethodNotAllowed else []
        headers = {"allow": ", ".join(methods)} if methods else error.headers
        found = kind(_http_message(request, error, methods), code=code, headers=headers)
        return JSONResponse(found.body(), error.status_code, headers=found.headers)

    async def away(_: Request, error: Exception) -> JSONResponse:
        log.warning("a backing service is unavailable: %s", why(error))
        return answer(
            Unavailable("A backing service is temporarily unavailable. Try again in a few seconds.")
        )

    @app.exception_handler(OutOfMemoryError)
    async def out_of_memory(_: Request, error: Exception) -> JSONResponse:
        log.warning("the memory of Redis is full: %s", why(error))
        return answer(
            redis_full(
                "The memory of Redis is full, so nothing was changed. Objects can be read and "
                "deleted. The operator must free or add memory."
            )
        )

    for kind in (*REDIS_ERRORS, StorageError):
        app.add_exception_handler(kind, away)

    @app.exception_handler(StorageFull)
    async def full(_: Request, error: StorageFull) -> JSONResponse:
        return answer(no_room(error))

    @app.exception_handler(Unconfirmed)
    async def unconfirmed(_: Request, error: Unconfirmed) -> JSONResponse:
        log.warning("a write is not confirmed: %s", error)
        return answer(
            Unavailable(
                "Too few replicas or disks of Redis confirmed the change in time. It may have been "
                "made, but a failure could undo it. Try again in a few seconds, with the same "
                "Idempotency-Key if you sent one.",
                code="write_unconfirmed",
            )
        )

    @app.exception_handler(Exception)
    async def unexpected(request: Request, _: Exception) -> JSONResponse:
        # Starlette logs the traceback; the response reveals no internals. This handler runs
        # outside the middleware, so it sets the request ID itself.
        request_id = request.scope.get("state", {}).get("request_id", "")
        error = InternalError(
            f"The service failed on this request. Give the operator the request id: {request_id}.",
            headers={
                "x-request-id": request_id,
                **{name.decode(): value.decode() for name, value in safe_headers.SAFE},
            },
        )
        return answer(error)


def answer(error: ApiError) -> JSONResponse:
    """Convert an error to an HTTP response."""
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)


def _key_needed(request: Request, error: ApiError) -> HTMLResponse:
    """Tell a person who opens a URL of the API in a browser, such as a `report_url`, how to."""
    address = html.escape(shlex.quote(str(request.url)))
    page = (
        '<!doctype html><html lang="en"><title>An API key is needed</title>'
        "<p>This address is a part of the API, which needs the key of a project. Open it so:"
        f"<pre>curl -H 'Authorization: Bearer YOUR_KEY' {address}</pre>"
        '<p>or send the request in the <a href="/docs">API reference</a>.</p></html>'
    )
    return HTMLResponse(page, status_code=error.status, headers=error.headers)


def _http_message(request: Request, error: HTTPException, methods: Sequence[str]) -> str:
    path = request.url.path[:200]
    if error.status_code == 404:
        return f"Unknown request URL: {request.method} {path}.{_hint(path)}"
    if error.status_code == 405:
        use = f"; use {' or '.join(methods)}" if methods else ""
        return f"Method {request.method} is not allowed on {path}{use}."
    if error.status_code == 400:  # FastAPI's only one
        return "The body cannot be read. Send JSON in UTF-8 that is not nested deeply."
    return str(error.detail)


def _hint(path: str) -> str:
    """Return what to do about a wrong URL, or instead of what only OpenAI has."""
    if len(path) > 1 and path.endswith("/"):
        return " Leave out the '/' at its end, or add an ID."
    first, _, rest = path.lstrip("/").partition("/")
    if first in BELOW_V1:
        return " The base URL lacks '/v1': it ends in '/v1', as OpenAI's does."
    if first == "v1" and rest.startswith("v1/"):
        return " The base URL has '/v1' twice."
    what = instead(rest) if first == "v1" else ""
    return f" {what}" if what else ""


class Identified(Protocol):
    """An API object with an ID."""

    id: str

    def model_dump_json(self, *, by_alias: bool) -> str:
        """Return the object as JSON."""
        ...


class ListOf(BaseModel, Generic[T]):
    """A page of objects, in the format of OpenAI's lists."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool
    first_id: str | None = None
    last_id: str | None = Field(
        default=None, description="ID of the last object. The value of `after` for the next page."
    )


def list_of(items: list[T], has_more: bool) -> ListOf[T]:
    """Build a list response. The SDKs request the next page with `after=<last_id>`."""
    identified = [getattr(item, "id", None) for item in items]
    return ListOf(
        data=items,
        has_more=has_more,
        first_id=identified[0] if identified else None,
        last_id=identified[-1] if identified else None,
    )


async def long_list(
    found: Sequence[F], shown: Callable[[F], Identified], has_more: bool
) -> Response:
    """Build a list response with up to thousands of objects, as `list_of` does for few.

    `shown` makes the API object of each. Yields to other requests between batches.
    """
    objects: list[bytes] = []
    ids_: list[str] = []
    for some in batched(found, _SHOWN_AT_ONCE):
        for item in map(shown, some):
            objects.append(item.model_dump_json(by_alias=True).encode())
            ids_.append(item.id)
        await asyncio.sleep(0)
    page = {
        "has_more": has_more,
        "first_id": ids_[0] if ids_ else None,
        "last_id": ids_[-1] if ids_ else None,
    }
    data = b",".join(objects)
    body = b'{"object":"list","data":[%b],%b' % (data, json.dumps(page).encode().removeprefix(b"{"))
    return Response(body, media_type="application/json")


def unknown_after(noun: str, *, has: str = "id") -> BadRequest:
    """Return the error of a list whose parameter `after` names no object."""
    return BadRequest(f"No {noun} has the {has} given in 'after'.", param="after")
