"""The inference routes: key, model, engine, and then bytes as they come.

Plain ASGI, because on this road a framework costs more than the work: the body goes to
the engine as it came, the answer comes back chunk by chunk, nothing is kept. Of the
caller's headers only trace ids cross; of the engine's only what says how to read the body.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from service.core import metrics
from service.core.auth import Authenticator
from service.core.errors import ApiError, Unavailable
from service.core.redis import REDIS_ERRORS
from service.inference.gateway import request_body
from service.inference.gateway.engine_errors import (
    MAX_ERROR_BYTES,
    map_error,
    model_not_found,
)
from service.inference.gateway.request_body import ClientGone
from service.inference.headers import ADAPTER
from service.inference.upstreams import Answer, Upstreams
from service.models.records import Kind
from service.models.registry import ModelRegistry, ServableModel

log = logging.getLogger(__name__)

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings")
_FORWARDED = {b"traceparent": "traceparent", b"tracestate": "tracestate"}
_CLIENT_GONE = 499  # nginx's number for it; in metrics only


class Gateway:
    """An ASGI application for all inference routes."""

    def __init__(
        self,
        authenticator: Authenticator,
        registry: ModelRegistry,
        upstreams: Upstreams,
        *,
        max_body_bytes: int,
    ) -> None:
        self._authenticator = authenticator
        self._registry = registry
        self._upstreams = upstreams
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every failure has OpenAI's error body."""
        exchange = _Exchange(send)
        try:
            model, body = await self._admit(scope, receive)
        except ApiError as e:
            await exchange.fail(e)
        except ClientGone:
            return
        except REDIS_ERRORS as e:
            log.warning("Redis is away: %s", type(e).__name__)
            await exchange.fail(
                Unavailable("A backing service is away. Try again in a few seconds.")
            )
        else:
            await self._exchange(scope, receive, exchange, model, body)

    async def _admit(self, scope: Scope, receive: Receive) -> tuple[ServableModel, bytes]:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        authorization = headers.get(b"authorization")
        caller = await self._authenticator.authenticate(
            None if authorization is None else authorization.decode("latin-1")
        )
        body = await request_body.read(receive, headers, self._max_body_bytes)
        name = request_body.model_name(body)
        model = await self._registry.find(caller.project_id, name)
        if model is None:
            raise model_not_found(name)
        return model, body

    async def _exchange(
        self,
        scope: Scope,
        receive: Receive,
        exchange: _Exchange,
        model: ServableModel,
        body: bytes,
    ) -> None:
        """Run the exchange with the engine until it ends or the client hangs up."""
        in_flight = metrics.INFERENCE_IN_FLIGHT.labels(model.base_model)
        in_flight.inc()
        pump = asyncio.ensure_future(self._pump(scope, exchange, model, body))
        gone = asyncio.ensure_future(_client_gone(receive))
        try:
            await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Cancelling the pump closes the engine's connection: vLLM stops at once.
            status = exchange.status if pump.done() else _CLIENT_GONE
            for task in (pump, gone):
                task.cancel()
            await asyncio.gather(pump, gone, return_exceptions=True)
            in_flight.dec()
            metrics.INFERENCE_REQUESTS.labels(model.base_model, model.kind, status).inc()
        if pump.done() and not pump.cancelled() and (error := pump.exception()) is not None:
            raise error

    async def _pump(
        self, scope: Scope, exchange: _Exchange, model: ServableModel, body: bytes
    ) -> None:
        arrived, path = time.perf_counter(), scope["path"]
        try:
            answer = await self._upstreams.send(
                model.base_model, path, body, _headers_for_engine(scope, model)
            )
            try:
                if answer.status >= 300:
                    error_body = await answer.read_all(MAX_ERROR_BYTES)
                    raise map_error(answer.status, error_body, model=model.name, path=path)
                first = await answer.read()
                metrics.INFERENCE_FIRST_BYTE_SECONDS.labels(model.base_model, model.kind).observe(
                    time.perf_counter() - arrived
                )
                await exchange.relay(answer, first)
            finally:
                answer.close()
        except ApiError as e:
            await exchange.fail(e)


class _Exchange:
    """What has been told to the client so far."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_stream = False
        self._at_event_start = True
        self.status = 0

    async def relay(self, answer: Answer, chunk: bytes) -> None:
        """Pass an answer on as it comes, beginning with a chunk that was read already.

        The start waits for that chunk: an engine that dies before it is a plain error.
        """
        self.status = answer.status
        headers = _headers_for_client(answer)
        self._is_stream = headers[0][1].startswith(b"text/event-stream")
        await self._send(
            {"type": "http.response.start", "status": answer.status, "headers": headers}
        )
        while chunk and not answer.ended:
            self._at_event_start = chunk.endswith(b"\n\n")
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            chunk = await answer.read()
        await self._send({"type": "http.response.body", "body": chunk})

    async def fail(self, error: ApiError) -> None:
        """Tell the client of a failure in the way that is still open.

        Before the answer began: a status and a body. In a stream: an error event, which the
        SDKs raise. In a plain body nothing can be said: it stays short of its length, and
        the server closes the connection.
        """
        body = msgspec.json.encode(error.body())
        if not self.status:
            self.status = error.status
            await self._send(
                {
                    "type": "http.response.start",
                    "status": error.status,
                    "headers": [
                        (b"content-type", b"application/json"),
                        (b"content-length", str(len(body)).encode()),
                        *((k.encode(), v.encode()) for k, v in error.headers.items()),
                    ],
                }
            )
            await self._send({"type": "http.response.body", "body": body})
        elif self._is_stream:
            self.status = error.status
            event = b"data: " + body + b"\n\n"
            await self._send(
                {
                    "type": "http.response.body",
                    "body": event if self._at_event_start else b"\n\n" + event,
                }
            )


def routes(gateway: Gateway) -> list[Route]:
    """The gateway's routes, to be put beside the api's."""
    return [Route(path, gateway, methods=["POST"], include_in_schema=False) for path in PATHS]


def _headers_for_engine(scope: Mapping[str, Any], model: ServableModel) -> dict[str, str]:
    headers = {
        _FORWARDED[name]: value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _FORWARDED
    }
    if request_id := scope.get("state", {}).get("request_id"):
        headers["x-request-id"] = request_id
    if model.kind == Kind.ADAPTER:
        headers[ADAPTER] = quote(model.name, safe="")
    return headers


def _headers_for_client(answer: Answer) -> list[tuple[bytes, bytes]]:
    content_type = answer.headers.get(b"content-type", b"application/json")
    headers = [(b"content-type", content_type)]
    if (length := answer.headers.get(b"content-length")) is not None:
        headers.append((b"content-length", length))
    if content_type.startswith(b"text/event-stream"):
        headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
    return headers


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
