"""Ports beside the API's own: metrics and the worker's probes.

They answer as the API does: with its headers, and its error bodies. The worker has one, so this
module does not import FastAPI, which takes 0.15 s.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from aiohttp.hdrs import SERVER

from service.core.errors import ApiError, MethodNotAllowed, NotFound
from service.web.probing import START_HEADER, confirmation
from service.web.safe_headers import SAFE

Handler = Callable[[web.Request], Awaitable[web.Response]]
_SAFE: Final = {name.decode(): value.decode() for name, value in SAFE}


class PortTaken(OSError):
    """An additional port cannot be opened."""


@asynccontextmanager
async def serve(
    routes: Mapping[str, Handler], host: str, port: int, *, setting: str
) -> AsyncIterator[int]:
    """Answer GET on these paths inside the block, and yield the port.

    Port 0 selects any free port. Raises PortTaken if the port cannot be opened, which names the
    variables of the operator, `setting` with `_HOST` and `_PORT`.
    """
    app = web.Application(middlewares=[_described])
    app.on_response_prepare.append(_be_safe)
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


async def _be_safe(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_SAFE)
    response.headers.update(confirmation(request.headers.get(START_HEADER)))
    response.headers.popall(SERVER, None)  # it has the versions of Python and aiohttp


@web.middleware
async def _described(
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
