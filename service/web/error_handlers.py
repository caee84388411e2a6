"""Answers every failure with an error body in OpenAI's format."""

from __future__ import annotations

import html
import logging
import shlex
from collections.abc import Container, Iterable, Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from redis.exceptions import OutOfMemoryError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from service.core.errors import (
    BY_STATUS,
    ApiError,
    BadRequest,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Unavailable,
    broken_json,
    no_room,
    redis_full,
)
from service.core.redis import REDIS_ERRORS, Unconfirmed, why
from service.core.storage import StorageError, StorageFull
from service.web import security_headers
from service.web.openai_only import instead
from service.web.validation import from_validation

log = logging.getLogger(__name__)


def install_error_handlers(app: FastAPI, *, other_paths: Container[str] = ()) -> None:
    """Answer every failure with an error body in OpenAI's format.

    `other_paths` are those of routes that bypass FastAPI.
    """

    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> Response:
        accepted = request.headers.get("accept", "")
        if error.status == 401 and request.method == "GET" and "text/html" in accepted:
            return _key_needed(request, error)
        return respond(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return respond(from_validation(error.errors(), error.body))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, UnicodeDecodeError):
            return respond(broken_json(error.__cause__.object, error.__cause__.start))
        kind = BY_STATUS.get(error.status_code, BadRequest)
        code = {NotFound: "unknown_url", BadRequest: "invalid_json"}.get(kind)
        methods = allowed_methods(app.routes, request.scope) if kind is MethodNotAllowed else []
        headers = {"allow": ", ".join(methods)} if methods else error.headers
        message = _http_message(request, error, methods, other_paths)
        found = kind(message, code=code, headers=headers)
        return JSONResponse(found.body(), error.status_code, headers=found.headers)

    async def unavailable(_: Request, error: Exception) -> JSONResponse:
        log.warning("a backing service is unavailable: %s", why(error))
        return respond(
            Unavailable("A backing service is temporarily unavailable. Try again in a few seconds.")
        )

    @app.exception_handler(OutOfMemoryError)
    async def out_of_memory(_: Request, error: Exception) -> JSONResponse:
        log.warning("the memory of Redis is full: %s", why(error))
        return respond(
            redis_full(
                "The memory of Redis is full, so nothing was changed. Objects can be read and "
                "deleted. The operator must free or add memory."
            )
        )

    for kind in (*REDIS_ERRORS, StorageError):
        app.add_exception_handler(kind, unavailable)

    @app.exception_handler(StorageFull)
    async def full(_: Request, error: StorageFull) -> JSONResponse:
        return respond(no_room(error))

    @app.exception_handler(Unconfirmed)
    async def unconfirmed(_: Request, error: Unconfirmed) -> JSONResponse:
        log.warning("a write is not confirmed: %s", error)
        return respond(
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
                **{name.decode(): value.decode() for name, value in security_headers.SAFE},
            },
        )
        return respond(error)


def respond(error: ApiError) -> JSONResponse:
    """Convert an error to an HTTP response."""
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)


def _key_needed(request: Request, error: ApiError) -> HTMLResponse:
    """Explain to a person who opens a URL in a browser, such as `report_url`, how to send a key."""
    address = html.escape(shlex.quote(str(request.url)))
    page = (
        '<!doctype html><html lang="en"><title>An API key is needed</title>'
        "<p>This address is part of the API, which needs an API key. Open it like this:"
        f"<pre>curl -H 'Authorization: Bearer YOUR_KEY' {address}</pre>"
        '<p>or send the request in the <a href="/docs">API reference</a>.</p></html>'
    )
    return HTMLResponse(page, status_code=error.status, headers=error.headers)


def _http_message(
    request: Request,
    error: HTTPException,
    methods: Sequence[str],
    other_paths: Container[str],
) -> str:
    path = request.url.path[:200]
    if error.status_code == 404:
        right = f"/v1{request.url.path}"
        routes = request.app.routes
        is_served = bool(allowed_methods(routes, {**request.scope, "path": right}))
        lacks_v1 = is_served or right in other_paths
        return f"Unknown request URL: {request.method} {path}.{_hint(path, lacks_v1=lacks_v1)}"
    if error.status_code == 405:
        use = f"; use {' or '.join(methods)}" if methods else ""
        return f"Method {request.method} is not allowed on {path}{use}."
    if error.status_code == 400:  # FastAPI's only one
        return "The body cannot be read. Send JSON in UTF-8 that is not nested deeply."
    return str(error.detail)


def _hint(path: str, *, lacks_v1: bool) -> str:
    """Return how to correct a wrong URL, or an alternative to an operation that only OpenAI has."""
    if len(path) > 1 and path.endswith("/"):
        return " Leave out the '/' at its end, or add an ID."
    first, _, rest = path.lstrip("/").partition("/")
    if lacks_v1:
        return " The base URL lacks '/v1': it ends in '/v1', as OpenAI's does."
    if first == "v1" and rest.startswith("v1/"):
        return " The base URL has '/v1' twice."
    what = instead(rest) if first == "v1" else ""
    return f" {what}" if what else ""


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """Return the methods of the routes whose template describes a request's path most closely.

    Starlette's own `allow` header has only those of the first route that matches.
    """
    found: dict[str, set[str]] = {}
    for route in routes:
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
            found.setdefault(route.path, set()).update(route.methods or ())
    return sorted(found[min(found, key=_vagueness)]) if found else []


def _vagueness(template: str) -> tuple[int, int]:
    """Order of templates that match the same path: `/files/merge` precedes `/files/{file_id}`."""
    return template.count("{"), -len(template)
