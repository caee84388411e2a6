"""Serves additional HTTP ports: the metrics of the API, and the probes of a worker.

Responses have the headers and error bodies of the API. Workers import this module, so it does not
import FastAPI, which takes 0.15 s.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from aiohttp.hdrs import SERVER
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.core.errors import ApiError, MethodNotAllowed, NotFound
from service.core.redis import Client
from service.fleet.redis_metrics import observe_redis
from service.web.probing import START_HEADER, confirmation
from service.web.security_headers import SAFE

Handler = Callable[[web.Request], Awaitable[web.Response]]
_SAFE: Final = {name.decode(): value.decode() for name, value in SAFE}
log = logging.getLogger(__name__)


class PortTaken(OSError):
    """An additional port cannot be opened."""


@asynccontextmanager
async def serve(
    routes: Mapping[str, Handler], host: str, port: int, *, setting: str
) -> AsyncIterator[int]:
    """Answer GET on these paths inside the block, and yield the port.

    Port 0 selects any free port. Raises PortTaken if the port cannot be opened; its message names
    the settings `setting` with `_HOST` and `_PORT`.
    """
    app = web.Application(middlewares=[_answer_errors])
    app.on_response_prepare.append(_add_headers)
    for path, handler in routes.items():
        app.router.add_get(path, handler, allow_head=False)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as e:
            raise PortTaken(
                f"{host}:{port} cannot be opened ({os.strerror(e.errno or 0)}). Set {setting}_HOST "
                f"and {setting}_PORT to a free address."
            ) from e
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_SAFE)
    response.headers.update(confirmation(request.headers.get(START_HEADER)))
    response.headers.popall(SERVER, None)  # it has the versions of Python and aiohttp


@web.middleware
async def _answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer unknown paths and methods as the API does."""
    path = request.path[:200]
    try:
        return await handler(request)
    except web.HTTPNotFound:
        message = f"Unknown request URL: {request.method} {path}."
        return _answer(NotFound(message, code="unknown_url"))
    except web.HTTPMethodNotAllowed as refused:
        methods = sorted(refused.allowed_methods)
        message = f"Method {request.method} is not allowed on {path}; use {' or '.join(methods)}."
        return _answer(MethodNotAllowed(message, headers={"allow": ", ".join(methods)}))


def _answer(error: ApiError) -> web.Response:
    return web.json_response(error.body(), status=error.status, headers=error.headers)


@asynccontextmanager
async def serve_metrics(redis: Client, host: str, port: int) -> AsyncIterator[str]:
    """Serve this process's metrics and the queue depths, and yield the server's URL.

    Port 0 selects any free port. Raises PortTaken if the port cannot be opened.
    """

    async def prometheus(_: web.Request) -> web.Response:
        await observe_redis(redis)
        return web.Response(body=generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})

    routes = {"/metrics": prometheus}
    async with serve(routes, host, port, setting="FINETUNED_API_METRICS") as opened:
        url = f"http://{host}:{opened}"
        log.info("metrics are on %s/metrics", url)
        yield url
