"""What a request needs before and after its engine, as far as nothing has to be waited for."""

from __future__ import annotations

from typing import Final

from service.core.errors import Busy
from service.inference.gateway import request_body
from service.inference.gateway.cache_salt import salt_members
from service.inference.gateway.checks import RequestRules, check_tools
from service.inference.gateway.engine_errors import model_not_found
from service.inference.gateway.passage import Passage
from service.inference.gateway.request_types import Request
from service.inference.gateway.usage_tap import Usage, UsageTap
from service.inference.upstreams import Upstreams
from service.inference.upstreams.answers import Sent
from service.models.parsers import ToolCallParsers
from service.models.registry import ModelRegistry, ResolvedModel
from service.usage.accounts import Served
from service.usage.meter import Admission, Meter
from service.web.auth import Authenticator, Principal

RESPONSES: Final = "/v1/responses"
# Routes whose streams send the usage event only on request. The others always send it.
_USAGE_OPTIONAL: Final = frozenset({"/v1/chat/completions", "/v1/completions"})
_NO_USAGE: Final = Usage(0, 0, 0)


class Passages:
    """Checks and admits requests, sends them if an engine has room, and accounts for them."""

    def __init__(
        self,
        authenticator: Authenticator,
        registry: ModelRegistry,
        upstreams: Upstreams,
        meter: Meter,
        rules: RequestRules,
        tools: ToolCallParsers,
        *,
        salt_secret: str,
        max_body_bytes: int,
    ) -> None:
        self._authenticator = authenticator
        self._registry = registry
        self._upstreams = upstreams
        self._meter = meter
        self._rules = rules
        self._tools = tools
        self._salt_member = salt_members(salt_secret)
        self._max_body_bytes = max_body_bytes

    def begin_at_once(self, authorization: str, path: str, body: bytes) -> Passage | None:
        """Check and admit a request, or return None if that has to wait for something.

        Raises ApiError.
        """
        caller = self._authenticator.remembered(authorization)
        if caller is None or not caller.may_request_models or len(body) > self._max_body_bytes:
            return None
        if caller.capture is not None:
            return None
        request = self._rules.checked(path, body)
        if not caller.sees(request.model):
            raise model_not_found(request.model)
        found = self._registry.remembered(caller.project_id, request.model)
        if found is None:
            return None
        try:
            return self.begin(caller, path, request, body, found)
        except Busy:
            return None

    def begin(
        self,
        caller: Principal,
        path: str,
        request: Request,
        body: bytes,
        found: ResolvedModel,
        admission: Admission | None = None,
    ) -> Passage:
        """Admit a request, unless it was admitted in its turn.

        Raises Busy, RateLimited, or BadRequest if the model cannot call tools.
        """
        if request.offers_tools:
            check_tools(found.model, self._registry.catalogue, self._tools)
        streamed, limit = request.streamed, request.output_limit
        tap = _tap(request, path) if streamed else UsageTap(strip=False)
        salt_member = self._salt_member(caller.project_id)
        sent = _for_engine(body, request, found, salt_member, with_usage=tap.strips)
        if admission is None:
            admission = self._meter.admit(
                caller,
                body_bytes=len(body),
                max_tokens=limit,
                streamed=streamed,
                answers=request.answers,
            )
        return Passage(caller, path, found.model, sent, tap, admission, output_limit=limit)

    async def admitted(self, caller: Principal, request: Request, body_bytes: int) -> Admission:
        """Wait until a request of a busy project or key may begin. Raises RateLimited."""
        return await self._meter.admit_in_turn(
            caller,
            body_bytes=body_bytes,
            max_tokens=request.output_limit,
            streamed=request.streamed,
            answers=request.answers,
        )

    def send_at_once(self, passage: Passage, header_lines: str) -> Sent | None:
        """Send an admitted request, or return None if that has to wait for something."""
        route = self._upstreams.route(passage.model.base_model, passage.adapter)
        if route is None:
            return None
        passage.turn = route[0].turns.take_free(*passage.size)
        if passage.turn is None:
            return None
        passage.sent = self._upstreams.begin(route, passage.path, passage.body, header_lines)
        return passage.sent

    def end(
        self,
        passage: Passage,
        status: int,
        first_byte_s: float | None,
        seconds: float,
        usage: Usage | None = None,
    ) -> None:
        """Account for an admitted request. Call it once.

        `usage` has the counts of a response that did not go through the passage's tap.
        """
        if passage.turn is not None:
            passage.turn.end()
        streamed = passage.streamed
        if usage is None:
            usage = _usage(passage.tap, streamed=streamed)
        model = passage.model
        served = Served(
            model=model.name,
            base_model=model.base_model,
            kind=model.kind,
            status=status,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            first_byte_s=first_byte_s,
            seconds=seconds,
            streamed=streamed,
        )
        self._meter.done(passage.admission, served)


def _tap(request: Request, path: str) -> UsageTap:
    """Return the tap of a stream."""
    if path == RESPONSES:  # the last event has a copy of the whole response
        return UsageTap(strip=False, whole_events=True, level=2)
    return UsageTap(strip=path in _USAGE_OPTIONAL and not request.asks_for_usage)


def _for_engine(
    body: bytes, request: Request, found: ResolvedModel, salt_member: bytes, *, with_usage: bool
) -> bytes:
    """Return the body with the salt, which replaces the caller's, and what else it needs."""
    if found.alias is None and not request.needs_fields:
        return request_body.with_members(body, salt_member)
    fields = request.engine_fields(with_usage=with_usage)
    if found.alias is not None:
        fields["model"] = found.model.name
    added = salt_member + b"," + request_body.members(fields) if fields else salt_member
    return request_body.with_members(body, added)


def _usage(tap: UsageTap, *, streamed: bool) -> Usage:
    """Return the reported counts. For an interrupted stream, events approximate output tokens."""
    return tap.usage() or (Usage(0, tap.events, 0) if streamed else _NO_USAGE)
