"""The inference routes: API key, model, limits, engine, then the streamed response.

The gateway is plain ASGI because a framework would cost more than the work on this path. The
engine gets the body as received, with a few fields appended. The client gets the response chunk by
chunk. Nothing is stored, except chats of projects that capture them (copies.py). Of the client's
headers, only trace IDs are forwarded; of the engine's, only those that describe the body.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from service.core.errors import (
    ApiError,
    Busy,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Unavailable,
)
from service.core.redis import REDIS_ERRORS, why
from service.inference.gateway import request_body
from service.inference.gateway.chat_reports import ChatReports
from service.inference.gateway.checks import RequestRules
from service.inference.gateway.copies import ChatCopies
from service.inference.gateway.engine_errors import (
    MAX_ERROR_BYTES,
    EngineRequest,
    leading_error,
    map_error,
    map_events,
    model_not_found,
)
from service.inference.gateway.exchange import Exchange, Watch
from service.inference.gateway.http_metrics import observe
from service.inference.gateway.parameters import PATHS
from service.inference.gateway.passage import Passage
from service.inference.gateway.passages import Passages
from service.inference.gateway.request_body import ClientGone
from service.inference.gateway.request_types import Request
from service.inference.upstreams import Answer, NotSent, Upstreams
from service.inference.upstreams.turns import Turn
from service.models.parsers import ToolCallParsers
from service.models.registry import ModelRegistry
from service.usage.accounts import CLIENT_GONE
from service.usage.meter import Admission, Meter
from service.web.audit import ModelRequests
from service.web.auth import Authenticator, Principal
from service.web.openai_only import instead
from service.web.permissions import Permission

log = logging.getLogger(__name__)

_ALLOWED = {"/v1/chat/completions": "DELETE, GET, POST"}  # of chats that are stored
_FORWARDED = (b"traceparent", b"tracestate")


class Gateway:
    """ASGI application that serves all inference routes."""

    def __init__(
        self,
        authenticator: Authenticator,
        registry: ModelRegistry,
        upstreams: Upstreams,
        meter: Meter,
        *,
        max_body_bytes: int,
        client_timeout_s: float,
        rules: RequestRules | None = None,
        salt_secret: str = "",
        tools: ToolCallParsers | None = None,
        reports: ChatReports | None = None,
        audited: ModelRequests | None = None,
        copies: ChatCopies | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._registry = registry
        self._upstreams = upstreams
        self._max_body_bytes = max_body_bytes
        self._client_timeout_s = client_timeout_s
        self._rules = rules or RequestRules()
        self.passages = Passages(
            authenticator,
            registry,
            upstreams,
            meter,
            self._rules,
            tools or ToolCallParsers(),
            salt_secret=salt_secret,
            max_body_bytes=max_body_bytes,
        )
        self._watch = Watch()
        self._reports = reports
        self._audited = audited
        self._copies = copies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Every failure has an error body in OpenAI's format."""
        exchange = Exchange(scope, receive, send, self._client_timeout_s)
        await self._finish(exchange, self._answer(exchange, receive))

    async def _finish(self, exchange: Exchange, answering: Awaitable[None]) -> None:
        """Wait until a request is answered, and answer if that fails."""
        try:
            await answering
        except ApiError as e:
            await exchange.fail(e)
        except ClientGone:
            exchange.status = CLIENT_GONE
        except REDIS_ERRORS as e:
            log.warning("Redis is unavailable: %s", why(e))
            await exchange.fail(
                Unavailable("A backing service is unavailable. Try again in a few seconds.")
            )
        except asyncio.CancelledError:
            if not exchange.gave_up or exchange.task is None:
                raise
            exchange.task.uncancel()  # the exchange canceled itself
        except Exception:  # no outer layer answers in OpenAI's format
            log.exception("the gateway failed")
            await exchange.fail(
                InternalError(
                    "The service failed on this request. Give the operator the request id: "
                    f"{exchange.request_id}."
                )
            )
        finally:
            exchange.end_copy()
            scope = exchange.scope
            observe(scope["method"], scope["path"], exchange.status, exchange.seconds)

    @property
    def has_express(self) -> bool:
        """Whether requests may be answered without a task, which nothing must wait for."""
        return self._reports is None and self._audited is None

    def continuing(self, passage: Passage, arrived: float, request_id: str) -> ASGIApp:
        """Return an application that continues to answer an admitted request."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            exchange = self._continued(scope, receive, send, arrived, request_id)
            await self._finish(exchange, self._serve(exchange, passage))

        return app

    def failing(self, error: Exception, arrived: float, request_id: str) -> ASGIApp:
        """Return an application that answers with an error."""

        async def fail() -> None:
            raise error

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            exchange = self._continued(scope, receive, send, arrived, request_id)
            await self._finish(exchange, fail())

        return app

    def _continued(
        self, scope: Scope, receive: Receive, send: Send, arrived: float, request_id: str
    ) -> Exchange:
        timeout_s = self._client_timeout_s
        return Exchange(scope, receive, send, timeout_s, arrived=arrived, request_id=request_id)

    async def _answer(self, exchange: Exchange, receive: Receive) -> None:
        if exchange.scope["path"] not in PATHS or exchange.scope["method"] != "POST":
            raise _not_served(exchange.scope)
        headers = exchange.headers
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        caller = self._authenticator.remembered(
            authorization
        ) or await self._authenticator.authenticate(authorization, exchange.scope)
        if not caller.may_request_models:
            await self._authenticator.require(caller, Permission.MODEL_REQUEST, exchange.scope)
        body = await request_body.read(
            receive, headers, self._max_body_bytes, self._client_timeout_s
        )
        path = exchange.scope["path"]
        request = self._rules.checked(path, body)
        if not caller.sees(request.model):
            raise model_not_found(request.model)
        found = self._registry.remembered(
            caller.project_id, request.model
        ) or await self._registry.resolve(caller.project_id, request.model)
        if found is None:
            raise model_not_found(request.model)
        if caller.capture is not None:
            self._copy(exchange, caller, (request.model, found.model.name), body)
        passage: Passage | None = None
        with contextlib.suppress(Busy):
            passage = self.passages.begin(caller, path, request, body, found)
        if passage is None:
            admission = await self._admission(exchange, caller, request, len(body))
            passage = self.passages.begin(caller, path, request, body, found, admission)
        await self._serve(exchange, passage)

    async def _admission(
        self, exchange: Exchange, caller: Principal, request: Request, body_bytes: int
    ) -> Admission:
        """Wait until a request may begin, or its client disconnects."""
        self._watch.begin(exchange)
        try:
            return await self.passages.admitted(caller, request, body_bytes)
        finally:
            self._watch.end(exchange)

    async def _serve(self, exchange: Exchange, passage: Passage) -> None:
        """Get the engine's answer to an admitted request and relay it."""
        try:
            self._watch.begin(exchange)
            if self._reports:
                self._reports.begin(exchange)
            if self._audited:
                await self._audited.record(exchange.scope, passage.caller, passage.model.name)
            if passage.turn is None:
                passage.turn = await self._turn(passage)
            await self._exchange(exchange, passage)
        except ApiError as e:
            await exchange.fail(e)
        finally:
            self._watch.end(exchange)
            if self._reports:
                self._reports.end(exchange)
            self.passages.end(
                passage, exchange.status or CLIENT_GONE, exchange.first_byte_s, exchange.seconds
            )

    def _copy(
        self, exchange: Exchange, caller: Principal, names: tuple[str, str], body: bytes
    ) -> None:
        """Begin the copy of a chat whose project stores some of its chats."""
        if self._copies is not None:
            copy = self._copies.begin(caller, exchange.scope["path"], names, body)
            if copy is not None:
                exchange.copy_to(copy)

    async def _turn(self, passage: Passage) -> Turn | None:
        """Wait until the engine has room for the request. Raises RateLimited."""
        route = self._upstreams.route(passage.model.base_model, passage.adapter)
        return None if route is None else await route[0].turns.take(*passage.size)

    async def _exchange(self, exchange: Exchange, passage: Passage) -> None:
        answer = await self._answer_of_engine(exchange, passage)
        try:
            request = EngineRequest(passage.model.name, passage.path, passage.body)
            if answer.status >= 300:
                raise map_error(answer.status, await answer.read_all(MAX_ERROR_BYTES), request)
            chunk = answer.at_hand() or await answer.read()
            if error := leading_error(chunk, request):
                raise error
            for_client = functools.partial(map_events, request=request)
            headers = passage.admission.headers
            await exchange.relay(answer, chunk, passage.tap, for_client, headers)
        finally:
            answer.close()

    async def _answer_of_engine(self, exchange: Exchange, passage: Passage) -> Answer:
        if passage.sent is not None:
            with contextlib.suppress(NotSent):
                return await passage.sent.answer()
        return await self._upstreams.send(
            passage.model.base_model,
            passage.path,
            passage.body,
            {"x-request-id": exchange.request_id, **forwarded(exchange.headers)},
            adapter=passage.adapter,
        )


def _not_served(scope: Scope) -> ApiError:
    """Return the error of a request that is not for the gateway."""
    method, path = scope["method"], scope["path"]
    if path not in PATHS:
        return NotFound("Unknown request URL.", code="unknown_url")
    what = instead(path.removeprefix("/v1/"))
    return MethodNotAllowed(
        f"Method {method} is not allowed here; use POST. {what}".rstrip(),
        headers={"allow": _ALLOWED.get(path, "POST")},
    )


def forwarded(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return the client's headers that the engine gets."""
    return {
        name.decode(): headers[name].decode("latin-1") for name in _FORWARDED if name in headers
    }
