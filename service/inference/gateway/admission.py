"""Prepares requests to models for the engine, admits them within limits, and accounts for them."""

from __future__ import annotations

from typing import Final

from service.inference.gateway import request_body
from service.inference.gateway.engine_errors import EngineRequest
from service.inference.gateway.parameters import check_tools
from service.inference.gateway.request_body import salt_members
from service.inference.gateway.request_types import Request
from service.inference.gateway.usage_tap import Usage, UsageTap
from service.inference.upstreams.fair_queue import Slot
from service.models.parsers import ToolCallParsers
from service.models.records import ModelKind
from service.models.registry import ModelRegistry, ResolvedModel, ServableModel
from service.usage.accounts import Admission, Served
from service.usage.meter import BYTES_PER_TOKEN, Meter
from service.web.auth import Principal

RESPONSES: Final = "/v1/responses"
# Routes whose streams send the usage event only on request. The others always send it.
_USAGE_OPTIONAL: Final = frozenset({"/v1/chat/completions", "/v1/completions"})
_NO_USAGE: Final = Usage(0, 0, 0)
# Expected tokens of an answer that the request does not limit.
_USUAL_TOKENS: Final = 512


class PreparedRequest:
    """A request that was checked, with its body for the engine and its state."""

    admission: Admission
    """Set when the request is admitted."""

    __slots__ = (
        *("_for_errors", "_tap", "adapter", "admission", "answers", "body", "caller", "model"),
        *("output_limit", "path", "received_bytes", "slot", "streamed", "usage"),
    )

    def __init__(
        self,
        caller: Principal,
        path: str,
        model: ServableModel,
        request: Request,
        body: bytes,
        tap: UsageTap | None,
        received_bytes: int,
    ) -> None:
        self.caller = caller
        self.path = path
        self.model = model
        self.adapter = model.name if model.kind == ModelKind.ADAPTER else None
        """Name of the adapter that the engine has to load, if any."""
        self.body = body
        """Body for the engine."""
        self.received_bytes = received_bytes
        """Size of the body as the client sent it."""
        self.streamed = request.streamed
        self.answers = request.answers
        self.output_limit = request.output_limit
        self._tap = tap
        self._for_errors: EngineRequest | None = None
        self.usage: Usage | None = None
        """The usage of a response that arrived complete."""
        self.slot: Slot | None = None
        """Slot at the engine, if the request has one."""

    @property
    def size(self) -> tuple[str, int, int, int]:
        """Arguments of `FairQueue.take`: the project, and the tokens, answers and bytes."""
        tokens = _USUAL_TOKENS if self.output_limit is None else self.output_limit
        body_bytes = len(self.body)
        tokens += body_bytes // BYTES_PER_TOKEN
        return self.caller.project_id, tokens, self.answers, body_bytes

    @property
    def tap(self) -> UsageTap:
        """Finds the usage in a response that arrives in parts."""
        if self._tap is None:
            self._tap = UsageTap(strip=False)
        return self._tap

    @property
    def for_errors(self) -> EngineRequest:
        """The request as errors of the engine need it."""
        if self._for_errors is None:
            self._for_errors = EngineRequest(self.model.name, self.path, self.body)
        return self._for_errors


class Admissions:
    """Prepares requests, admits them, and accounts for them."""

    def __init__(
        self,
        registry: ModelRegistry,
        meter: Meter,
        tools: ToolCallParsers,
        *,
        salt_secret: str,
    ) -> None:
        self._registry = registry
        self._meter = meter
        self._tools = tools
        self._salt_member = salt_members(salt_secret)

    def prepare(
        self, caller: Principal, path: str, request: Request, body: bytes, found: ResolvedModel
    ) -> PreparedRequest:
        """Prepare a request for the engine. Raises BadRequest if the model cannot call tools."""
        if request.offers_tools:
            check_tools(found.model, self._registry.catalogue, self._tools)
        tap = _tap(request, path) if request.streamed else None
        salt_member = self._salt_member(caller.project_id)
        for_engine = _for_engine(
            body, request, found, salt_member, with_usage=tap is not None and tap.strips
        )
        return PreparedRequest(caller, path, found.model, request, for_engine, tap, len(body))

    def admit(self, request: PreparedRequest) -> None:
        """Admit a request. Raises RateLimited, and Busy if it may wait (`admit_in_turn`)."""
        request.admission = self._meter.admit(
            request.caller,
            body_bytes=request.received_bytes,
            max_tokens=request.output_limit,
            streamed=request.streamed,
            answers=request.answers,
        )

    async def admit_in_turn(self, request: PreparedRequest) -> None:
        """Admit a request of a busy project or key when it may begin. Raises RateLimited."""
        request.admission = await self._meter.admit_in_turn(
            request.caller,
            body_bytes=request.received_bytes,
            max_tokens=request.output_limit,
            streamed=request.streamed,
            answers=request.answers,
        )

    def end(
        self, request: PreparedRequest, status: int, first_byte_s: float | None, seconds: float
    ) -> None:
        """Account for an admitted request. Call it once."""
        if request.slot is not None:
            request.slot.end()
        usage = request.usage or _usage(request.tap, streamed=request.streamed)
        model = request.model
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
            streamed=request.streamed,
        )
        self._meter.done(request.admission, served)


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
