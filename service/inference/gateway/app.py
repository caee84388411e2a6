"""The inference routes: API key, model, limits, engine, then the streamed response.

The gateway is plain ASGI because a framework would cost more than the work on this path. The
engine gets the body as received, with a few fields appended. The client gets the response chunk by
chunk, and nothing is stored. Of the client's headers, only trace IDs are forwarded; of the
engine's, only those that describe the body.
"""

from __future__ import annotations

import asyncio
import functools
import logging

from starlette.types import Receive, Scope, Send

from service.core import metrics
from service.core.errors import ApiError, InternalError, MethodNotAllowed, NotFound, Unavailable
from service.core.metric_types import Cell, HistogramCell
from service.core.redis import REDIS_ERRORS, why
from service.inference.gateway import request_body
from service.inference.gateway.cache_salt import cache_salts
from service.inference.gateway.chat_reports import ChatReports
from service.inference.gateway.checks import RequestRules, check_tools
from service.inference.gateway.engine_errors import (
    MAX_ERROR_BYTES,
    EngineRequest,
    leading_error,
    map_error,
    map_events,
    model_not_found,
)
from service.inference.gateway.exchange import CLIENT_GONE, Exchange, Watch
from service.inference.gateway.parameters import PATHS
from service.inference.gateway.request_body import ClientGone
from service.inference.gateway.request_types import Request
from service.inference.gateway.response_end import name_end
from service.inference.gateway.usage_tap import Usage, UsageTap
from service.inference.upstreams import Upstreams
from service.inference.upstreams.turns import Turn
from service.models.records import ModelKind
from service.models.registry import ModelRegistry, ResolvedModel, ServableModel
from service.models.tools import ToolCallParsers
from service.usage.meter import BYTES_PER_TOKEN, Admission, Meter, Served
from service.web.audit import ModelRequests
from service.web.auth import Authenticator, Principal
from service.web.openai_only import instead
from service.web.permissions import Permission

log = logging.getLogger(__name__)

# Routes whose streams send the usage event only on request. The others always send it.
_USAGE_OPTIONAL = frozenset({"/v1/chat/completions", "/v1/completions"})
_RESPONSES = "/v1/responses"
_FORWARDED = (b"traceparent", b"tracestate")
_NO_USAGE = Usage(0, 0, 0)
# Expected tokens of an answer that the request does not limit.
_USUAL_TOKENS = 512


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
    ) -> None:
        self._authenticator = authenticator
        self._registry = registry
        self._upstreams = upstreams
        self._meter = meter
        self._max_body_bytes = max_body_bytes
        self._client_timeout_s = client_timeout_s
        self._rules = rules or RequestRules()
        self._salt_of = cache_salts(salt_secret)
        self._tools = tools or ToolCallParsers()
        self._watch = Watch()
        self._reports = reports
        self._audited = audited

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. Every failure has an error body in OpenAI's format."""
        exchange = Exchange(scope, receive, send, self._client_timeout_s)
        try:
            await self._answer(exchange, receive)
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
            _observe(exchange)

    async def _answer(self, exchange: Exchange, receive: Receive) -> None:
        if exchange.scope["path"] not in PATHS:
            raise NotFound("Unknown request URL.", code="unknown_url")
        if exchange.scope["method"] != "POST":
            what = instead(exchange.scope["path"].removeprefix("/v1/"))
            raise MethodNotAllowed(
                f"Method {exchange.scope['method']} is not allowed here; use POST. {what}".rstrip(),
                headers={"allow": "POST"},
            )
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
        if request.offers_tools:
            check_tools(found.model, self._registry.catalogue, self._tools)
        tap = UsageTap(
            strip=_hides_usage(request, path),
            whole_events=_streams_response(request, path),
            level=2 if _streams_response(request, path) else 1,
        )
        salt = self._salt_of(caller.project_id)
        sent = _for_engine(body, request, found, salt, with_usage=tap.strips)
        admission = self._meter.admit(
            caller,
            body_bytes=len(body),
            max_tokens=request.output_limit,
            streamed=request.streamed,
            answers=request.answers,
        )
        turn = None
        try:
            self._watch.begin(exchange)
            if self._reports:
                self._reports.begin(exchange)
            if self._audited:
                await self._audited.record(exchange.scope, caller, found.model.name)
            turn = await self._turn(caller, found.model, request, len(sent))
            await self._exchange(exchange, admission, found.model, sent, tap)
        except ApiError as e:
            await exchange.fail(e)
        finally:
            if turn is not None:
                turn.end()
            self._watch.end(exchange)
            if self._reports:
                self._reports.end(exchange)
            usage = _usage(tap, streamed=request.streamed)
            self._meter.done(
                admission, _served(exchange, found.model, usage, streamed=request.streamed)
            )

    async def _turn(
        self, caller: Principal, model: ServableModel, request: Request, body_bytes: int
    ) -> Turn | None:
        """Wait until the engine has room for the request. Raises RateLimited."""
        turns = self._upstreams.turns(model.base_model, _adapter(model))
        if turns is None:
            return None
        limit = request.output_limit
        tokens = body_bytes // BYTES_PER_TOKEN + (_USUAL_TOKENS if limit is None else limit)
        return await turns.take(
            caller.project_id, tokens=tokens, answers=request.answers, body_bytes=body_bytes
        )

    async def _exchange(
        self,
        exchange: Exchange,
        admission: Admission,
        model: ServableModel,
        body: bytes,
        tap: UsageTap,
    ) -> None:
        path = exchange.scope["path"]
        answer = await self._upstreams.send(
            model.base_model, path, body, _headers_for_engine(exchange), adapter=_adapter(model)
        )
        try:
            request = EngineRequest(model.name, path, body)
            if answer.status >= 300:
                raise map_error(answer.status, await answer.read_all(MAX_ERROR_BYTES), request)
            chunk = answer.at_hand() or await answer.read()
            if error := leading_error(chunk, request):
                raise error
            for_client = functools.partial(_for_client, request=request)
            await exchange.relay(answer, chunk, tap, for_client, admission.headers)
        finally:
            answer.close()


def _adapter(model: ServableModel) -> str | None:
    return model.name if model.kind == ModelKind.ADAPTER else None


def _hides_usage(request: Request, path: str) -> bool:
    """Return whether the gateway requests a usage event that the caller did not request."""
    return request.streamed and path in _USAGE_OPTIONAL and not request.asks_for_usage


def _streams_response(request: Request, path: str) -> bool:
    """Return whether the answer is a stream whose last event has a copy of the whole response."""
    return request.streamed and path == _RESPONSES


def _for_client(events: bytes, request: EngineRequest) -> bytes:
    """Change what the engine's events say in its own words."""
    events = map_events(events, request)
    return name_end(events) if request.path == _RESPONSES else events


def _for_engine(
    body: bytes, request: Request, found: ResolvedModel, salt: str, *, with_usage: bool
) -> bytes:
    fields: dict[str, object] = {"cache_salt": salt}  # replaces the caller's, if any
    if found.alias is not None:
        fields["model"] = found.model.name
    fields |= request.stream_fields(with_usage=with_usage)
    return request_body.with_fields(body, fields)


def _usage(tap: UsageTap, *, streamed: bool) -> Usage:
    """Return the reported counts. For an interrupted stream, events approximate output tokens."""
    return tap.usage() or (Usage(0, tap.events, 0) if streamed else _NO_USAGE)


def _headers_for_engine(exchange: Exchange) -> dict[str, str]:
    headers = {"x-request-id": exchange.request_id}
    for name in _FORWARDED:
        if (value := exchange.headers.get(name)) is not None:
            headers[name.decode()] = value.decode("latin-1")
    return headers


def _served(exchange: Exchange, model: ServableModel, usage: Usage, *, streamed: bool) -> Served:
    return Served(
        model=model.name,
        base_model=model.base_model,
        kind=model.kind,
        status=exchange.status or CLIENT_GONE,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        first_byte_s=exchange.first_byte_s,
        seconds=exchange.seconds,
        streamed=streamed,
    )


@functools.lru_cache(maxsize=1024)
def _cells(method: str, route: str, status: int) -> tuple[Cell, HistogramCell]:
    return (
        metrics.HTTP_REQUESTS.cell(method, route, str(status)),
        metrics.HTTP_SECONDS.cell(method, route),
    )


def _observe(exchange: Exchange) -> None:
    method, path = exchange.scope["method"], exchange.scope["path"]
    route = path if path in PATHS else "unmatched"
    requests, seconds = _cells(method, route, exchange.status)
    requests.inc()
    seconds.observe(exchange.seconds)
    if exchange.status >= 500:
        log.warning("%s %s %d", method, route, exchange.status)
