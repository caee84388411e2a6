"""ASGI middleware around vLLM's own server: opens four routes, holds the adapter in use.

vLLM's key protects `/v1` alone; `/invocations`, `/tokenize` and, with resolvers on, the
routes that load and unload adapters stand open beside it. Here everything is closed but
the four inference routes (with the key), `/health` and `/metrics`.

While a request runs, its adapter's folder is held in the cache, see adapter_cache.py.
"""

from __future__ import annotations

import hmac
import json
import os
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

from service.core.errors import error_body
from service.inference.engine import process
from service.inference.engine.adapters import AdapterBroken, AdapterUnavailable
from service.inference.headers import ADAPTER

INFERENCE_PATHS = frozenset(
    {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"}
)
_OPEN_PATHS = frozenset({"/health", "/metrics"})
_ADAPTER = ADAPTER.encode()


class EngineGuard:
    """Named in the engine's `--middleware`; vLLM puts it outside of everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._key = b"Bearer " + os.environ["VLLM_API_KEY"].encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed, refuse the rest."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["method"] == "GET" and scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
        elif scope["method"] != "POST" or scope["path"] not in INFERENCE_PATHS:
            await _refuse(send, 404, "Not Found", "not_found")
        else:
            await self._infer(scope, receive, send)

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if not hmac.compare_digest(headers.get(b"authorization", b""), self._key):
            await _refuse(send, 401, "The engine's key is missing or wrong.", "invalid_api_key")
            return
        name = headers.get(_ADAPTER)
        if name is None:
            await self._app(scope, receive, send)
            return
        try:
            async with process.adapters().hold(unquote(name.decode("ascii"))):
                await self._app(scope, receive, send)
        except AdapterUnavailable as e:
            await _refuse(send, 503, str(e), "adapter_unavailable")
        except AdapterBroken as e:
            await _refuse(send, 500, str(e), "adapter_broken")


async def _refuse(send: Send, status: int, message: str, code: str) -> None:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    body = json.dumps(error_body(message, kind, None, code)).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
