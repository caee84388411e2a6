"""Sends workers' requests to engines: routed, limited and counted like users', at low priority.

They are sent on behalf of a project and of the key that started the work. A request waits while the
project is over its limits or the engine is down, and then fails for its item alone. A model that no
longer exists may fail the whole work.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from service.config import Settings
from service.config.limits import Limits
from service.core import metrics, tracing
from service.core.errors import ApiError, BadGateway, RateLimited
from service.core.leases import Leases
from service.core.records import Stored
from service.core.storage import Storage
from service.files.records import Files
from service.inference.gateway.engine_errors import MAX_ERROR_BYTES, EngineRequest, map_error
from service.inference.gateway.request_body import cache_salts, with_fields
from service.inference.upstreams import Upstreams
from service.models.records import ModelKind
from service.models.registry import ModelRegistry, ServableModel
from service.projects.records import Projects
from service.usage.accounts import Served
from service.usage.meter import Meter
from service.web.auth import Principal
from service.web.permissions import Role


class ModelUsage(Stored):
    """Tokens of the requests of one piece of work to one model."""

    invocation_count: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    def plus(self, other: ModelUsage) -> ModelUsage:
        """The sum of both."""
        return ModelUsage(
            invocation_count=self.invocation_count + other.invocation_count,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
        )


PRIORITY: Final = 10
"""vLLM's priority of evaluations. Lower values go first, and users' requests have 0."""
BATCH_PRIORITY: Final = 20
"""vLLM's priority of the requests of batches."""
_MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
_AWAY: Final = frozenset({429, 502, 503, 504})
_MOST_FAILURES: Final = 3  # of a request that the engine accepts but fails on
_NO_USAGE: Final = ModelUsage()
_UNBOUNDED: Final = 1_000_000


class ModelGone(Exception):
    """The model does not exist in the project, or no longer does."""

    def __init__(self, model: str) -> None:
        super().__init__(f"The model '{model}' does not exist, or was deleted.")
        self.code = "model_not_found"
        self.message = str(self)


class SampleFailed(Exception):
    """The item has no answer. The code and the message are shown to its owner.

    `is_away` is true if no engine answered within the patience. `error` is what the gateway would
    answer.
    """

    def __init__(
        self, code: str, message: str, *, is_away: bool = False, error: ApiError | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.is_away = is_away
        self.error = error


@dataclass(frozen=True)
class Question:
    """A request without its model. `body` is a JSON object with at least one field.

    `max_tokens` limits all `answers` together. `check` raises ApiError if the model cannot answer.
    """

    path: str
    body: bytes
    max_tokens: int | None = None
    answers: int = 1
    check: Callable[[ServableModel], None] = lambda _: None


@dataclass(frozen=True)
class Answered:
    """An engine's answer. `model` is the name of the model behind an alias.

    `seconds` is the time from the request to its answer, without waits before it.
    """

    model: str
    body: dict[str, Any]
    usage: ModelUsage
    seconds: float = 0.0


class Patience:
    """Time for which items wait for an engine that is down, counted from its last answer."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._away_since: dict[str, float] = {}

    def note_answer(self, base: str) -> None:
        """Note that an engine of the base model answered."""
        self._away_since.pop(base, None)

    def is_over(self, base: str) -> bool:
        """Note that no engine of the base model answered. Returns whether to stop waiting."""
        now = self._clock()
        return now - self._away_since.setdefault(base, now) >= self._seconds


class EngineCalls:
    """Sends the requests of one piece of work, such as a run."""

    def __init__(
        self,
        caller: Callable[[], Any],
        *,
        registry: ModelRegistry,
        upstreams: Upstreams,
        meter: Meter,
        salt: str,
        patience: Patience,
        priority: int = PRIORITY,
        is_batch: bool = False,
        concurrency: int = _UNBOUNDED,
    ) -> None:
        self._caller = caller
        self._registry = registry
        self._upstreams = upstreams
        self._meter = meter
        self._salt = salt
        self._patience = patience
        self._priority = priority
        self._is_batch = is_batch
        self._slots = asyncio.Semaphore(concurrency)

    async def ask(
        self, model: str, path: str, fields: Mapping[str, Any], max_tokens: int | None = None
    ) -> Answered:
        """Post a request. `max_tokens` is its limit, for the project's limits.

        Raises ModelGone, and SampleFailed.
        """
        return await self.send(model, Question(path, msgspec.json.encode(fields), max_tokens))

    async def send(self, model: str, question: Question) -> Answered:
        """Post a request, repeatedly while it may succeed. Raises ModelGone and SampleFailed."""
        async with self._slots:
            return await self._send(model, question)

    async def _send(self, model: str, question: Question) -> Answered:
        pause_s, failures = _FIRST_PAUSE_S, 0
        while True:
            found = await self._registry.resolve((await self._caller()).project_id, model)
            if found is None:
                raise ModelGone(model)
            served = found.model
            try:
                question.check(served)
                return await self._once(served, question)
            except ApiError as e:
                if e.status in _AWAY and "x-should-retry" not in e.headers:
                    if not isinstance(e, RateLimited) and self._patience.is_over(served.base_model):
                        raise _failed(e, is_away=True) from e
                elif e.status >= 500 or e.code == "model_not_found":
                    failures += 1
                    if failures >= _MOST_FAILURES or "x-should-retry" in e.headers:
                        raise _failed(e) from e
                else:
                    raise _failed(e) from e
                with _waiting(served.base_model if e.code == "engine_unavailable" else None):
                    await asyncio.sleep(max(_retry_after_s(e), pause_s * random.uniform(0.5, 1)))  # noqa: S311
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _once(self, model: ServableModel, question: Question) -> Answered:
        """Send a request once and count it. Raises ApiError."""
        request = with_fields(
            question.body,
            {"model": model.name, "priority": self._priority, "cache_salt": self._salt},
        )
        caller: Principal = await self._caller()
        admission = self._meter.admit(
            caller,
            body_bytes=len(request),
            max_tokens=question.max_tokens,
            streamed=False,
            answers=question.answers,
        )
        began, status, usage, first_byte_s = time.monotonic(), 499, _NO_USAGE, None
        try:
            body = await self._post(model, question.path, request)
            status, first_byte_s = 200, time.monotonic() - began
            usage = _usage(body)
        except ApiError as e:
            status = e.status
            raise
        finally:
            self._meter.done(
                admission,
                Served(
                    model=model.name,
                    base_model=model.base_model,
                    kind=model.kind,
                    status=status,
                    input_tokens=usage.prompt_tokens,
                    output_tokens=usage.completion_tokens,
                    cached_tokens=usage.cached_tokens,
                    first_byte_s=first_byte_s,
                    seconds=time.monotonic() - began,
                    streamed=False,
                    batch=self._is_batch,
                ),
            )
        return Answered(model.name, body, usage, first_byte_s or 0.0)

    async def _post(self, model: ServableModel, path: str, request: bytes) -> dict[str, Any]:
        adapter = model.name if model.kind == ModelKind.ADAPTER else None
        answer = await self._upstreams.send(
            model.base_model, path, request, tracing.carrier(), adapter=adapter
        )
        try:
            if answer.status >= 300:
                raw = await answer.read_all(MAX_ERROR_BYTES)
                raise map_error(answer.status, raw, EngineRequest(model.name, path, request))
            raw = await answer.read_all(_MAX_ANSWER_BYTES)
        finally:
            answer.close()
        self._patience.note_answer(model.base_model)
        try:
            return msgspec.json.decode(raw, type=dict[str, Any])
        except msgspec.DecodeError as e:
            raise BadGateway("The engine's answer is not JSON.") from e


@contextlib.contextmanager
def _waiting(base: str | None) -> Iterator[None]:
    """Count a request that waits for an engine, so that one is started if there is none."""
    if base is None:
        yield
        return
    cell = metrics.ENGINE_WAITING_REQUESTS.cell(base)
    cell.inc()
    try:
        yield
    finally:
        cell.inc(-1)


def _usage(body: Mapping[str, Any]) -> ModelUsage:
    """The tokens that the engine reports, with the names of either API."""
    reported = body.get("usage") or {}
    details = reported.get("prompt_tokens_details") or reported.get("input_tokens_details") or {}
    return ModelUsage(
        invocation_count=1,
        prompt_tokens=reported.get("prompt_tokens") or reported.get("input_tokens") or 0,
        completion_tokens=reported.get("completion_tokens") or reported.get("output_tokens") or 0,
        cached_tokens=details.get("cached_tokens") or 0,
    )


def _failed(error: ApiError, *, is_away: bool = False) -> SampleFailed:
    return SampleFailed(error.code or error.type, error.message, is_away=is_away, error=error)


def _retry_after_s(error: ApiError) -> float:
    if isinstance(error, RateLimited) and "retry-after-ms" in error.headers:
        return int(error.headers["retry-after-ms"]) / 1000
    return 0.0


_KEPT_S = 10.0
# A worker's requests wait behind users' requests in the engine. They are not counted among the
# concurrent requests, so that they do not make the gateway refuse a user.
_NOT_CONCURRENT = Limits(concurrent_requests="unlimited", concurrent_streams="unlimited")


class KeyCaller:
    """The principal of a key. Its limits are read again every few seconds."""

    def __init__(self, projects: Projects, project_id: str, key_id: str) -> None:
        self._projects = projects
        self._project_id = project_id
        self._key_id = key_id
        self._principal: Principal | None = None
        self._read_at_s = 0.0

    async def __call__(self) -> Principal:
        """Return the principal. A revoked key leaves the limits of its project."""
        now_s = time.monotonic()
        if self._principal is None or now_s - self._read_at_s > _KEPT_S:
            self._principal, self._read_at_s = await self._read(), now_s
        return self._principal

    async def _read(self) -> Principal:
        project = await self._projects.get(self._project_id)
        key = await self._projects.keys.get(self._project_id, self._key_id)
        return Principal(
            key_id=self._key_id,
            project_id=self._project_id,
            project_name=project.name if project else "",
            role=Role.MEMBER,
            key_limits=_without_concurrency(key.limits if key else Limits()),
            project_limits=_without_concurrency(project.limits if project else Limits()),
        )


def _without_concurrency(limits: Limits) -> Limits:
    return limits.changed(_NOT_CONCURRENT)


class EngineAccess:
    """Opens requests to engines that are routed, limited and counted like the gateway's."""

    def __init__(
        self,
        *,
        projects: Projects,
        registry: ModelRegistry,
        upstreams: Upstreams,
        meter: Meter,
        settings: Settings,
    ) -> None:
        self._projects = projects
        self._registry = registry
        self._upstreams = upstreams
        self._meter = meter
        self._patience_s = settings.eval_engine_patience_s
        key = settings.upstream_api_key
        self._salt_of = cache_salts(key.get_secret_value() if key else "")

    def salt(self, project_id: str) -> str:
        """Return the salt of the project's prefixes in the engines' caches."""
        return self._salt_of(project_id)

    def calls(
        self,
        project_id: str,
        key_id: str,
        *,
        priority: int = PRIORITY,
        patience_s: float | None = None,
        is_batch: bool = False,
        concurrency: int = _UNBOUNDED,
    ) -> EngineCalls:
        """Return the requests of one piece of work, which count as usage of the key.

        `patience_s` is how long they wait for an engine that is down, as configured by default.
        `is_batch` counts them as usage of batches. At most `concurrency` are sent at a time; the
        others wait.
        """
        return EngineCalls(
            KeyCaller(self._projects, project_id, key_id),
            registry=self._registry,
            upstreams=self._upstreams,
            meter=self._meter,
            salt=self._salt_of(project_id),
            patience=Patience(self._patience_s if patience_s is None else patience_s),
            priority=priority,
            is_batch=is_batch,
            concurrency=concurrency,
        )


@dataclass(frozen=True)
class Resources:
    """What the tasks of a worker share."""

    files: Files
    registry: ModelRegistry
    storage: Storage
    leases: Leases
    settings: Settings
    access: EngineAccess
