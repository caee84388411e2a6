"""The engines behind the gateway: which engine serves a model, and how to send requests.

An engine serves a base model with all its adapters.

A replica is one vLLM server. A request is sent to the next replica only if it was certainly not
sent: the connection could not be established. After that the engine may have started to work, and
the caller gets the error.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import quote

import msgspec

from service.config import Settings
from service.core import tasks
from service.core.errors import ApiError, BadGateway, GatewayTimeout, Unavailable
from service.inference.api_processes import share
from service.inference.headers import ADAPTER
from service.inference.upstreams.client import (
    Answer,
    EngineClient,
    NotSent,
    Timeouts,
    header_lines,
)
from service.inference.upstreams.discovery import Discovery, Resolve, resolve
from service.inference.upstreams.fair_queue import FairQueue
from service.inference.upstreams.health import Fault, Policy, ReplicaState
from service.inference.upstreams.replicas import Probes, Replica, Replicas

log = logging.getLogger(__name__)

# Time for the first DNS lookup, before requests arrive.
_FIRST_LOOK_UP_S = 2.0
_READY_S = 3.0  # one silent engine must not use up the time of the readiness of all parts
_METRICS_BYTES = 16 * 1024 * 1024
_FOLLOW_EVERY_S = 2.0
_WARM_S, _WARM_BYTES = 30.0, 64 * 1024
_COMPLETIONS = "/v1/completions"
ByModel = Mapping[str, Sequence[str]]
"""URLs of engines by served model."""


class Upstreams:
    """All engines by served model. Open it in the lifespan: `async with Upstreams(…)`."""

    def __init__(
        self,
        by_model: ByModel,
        *,
        find: Callable[[], ByModel] | None = None,
        api_key: str | None = None,
        timeouts: Timeouts | None = None,
        policy: Policy | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        """Create them. If `find` is given, it returns `by_model` as it is now, and is followed."""
        self._timeouts = timeouts or Timeouts()
        self._client = EngineClient(self._timeouts, api_key=api_key)
        self._policy = policy or Policy()
        self._resolve = resolve
        self._find = find
        self._loading: set[str] = set()
        self._served: dict[str, ServedModel] = {}
        self._by_model = dict(by_model)
        self._served = self._make(by_model)
        self._note_unserved()
        self._open = contextlib.AsyncExitStack()

    @classmethod
    def from_settings(cls, settings: Settings) -> Upstreams:
        """Create the engines from the settings. URLs of a model are separated by commas."""
        key = settings.upstream_api_key

        def find() -> ByModel:
            return {
                model: [u.strip() for u in urls.split(",") if u.strip()]
                for model, urls in settings.engine_urls.items()
            }

        return cls(
            find(),
            find=find if settings.upstreams_file else None,
            api_key=key.get_secret_value() if key else None,
            timeouts=Timeouts(first_byte_s=settings.upstream_first_byte_timeout_s),
            policy=Policy.from_settings(settings),
        )

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as opening:
            await opening.enter_async_context(self._client)
            opening.push_async_callback(self._close_models)
            await asyncio.gather(*(served.open() for served in self._served.values()))
            if self._find is not None:
                following = asyncio.create_task(tasks.keep("engines", self._follow))
                opening.push_async_callback(tasks.end, following)
            self._open = opening.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def change(self, by_model: ByModel) -> None:
        """Serve these models at these URLs from now on. Others remain unchanged.

        Running requests to removed engines end there. Raises ValueError for an invalid URL.
        """
        old, made = self._by_model, self._make(by_model)
        left = [served for model, served in self._served.items() if model not in made]
        added = [served for model, served in made.items() if model not in self._served]
        moved = [m for m in made if m in self._served and by_model[m] != old[m]]
        self._by_model, self._served = dict(by_model), made
        self._loading = (self._loading & made.keys()) | (made.keys() - old.keys())
        self._note_unserved()
        await asyncio.gather(
            *(served.open() for served in added),
            *(made[model].move(by_model[model]) for model in moved),
            *(served.leave() for served in left),
        )

    def _make(self, by_model: ByModel) -> dict[str, ServedModel]:
        """Return the models with engines: those that there are, and new ones."""
        made = {}
        for model, urls in by_model.items():
            if urls:
                known = self._served.get(model)
                made[model] = known or ServedModel(
                    model, urls, self._client, self._policy, self._resolve
                )
        return made

    def _note_unserved(self) -> None:
        self._unserved = {model: False for model, urls in self._by_model.items() if not urls}

    async def _follow(self) -> None:
        assert self._find is not None
        while True:
            await asyncio.sleep(_FOLLOW_EVERY_S)
            try:
                found = self._find()
                if found != self._by_model:
                    log.info("the engines have changed: %s", ", ".join(found))
                    await self.change(found)
            except ValueError as e:
                log.warning("the last list of engines is used: %s", e)

    async def _close_models(self) -> None:
        await asyncio.gather(*(served.close() for served in self._served.values()))

    def route(self, base: str, adapter: str | None) -> Route | None:
        """Return where requests of a model go first, or None if no engine serves it.

        `adapter` is the name of the adapter that the requests need.
        """
        served = self._served.get(base)
        return None if served is None else (served, adapter)

    async def send(
        self,
        base: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        adapter: str | None = None,
        first: Replica | None = None,
    ) -> Answer:
        """Post the body to an engine of this base model. The caller must `close()` the answer.

        `adapter` is the name of the adapter that the request needs, and `first` the replica to try
        first, from `pick`, if it still serves the model. Raises Unavailable if no engine accepts
        the request, and GatewayTimeout if an engine does not respond.
        """
        served = self._served.get(base)
        if served is None:
            raise Unavailable(
                f"No engine serves '{base}' at the moment. Ask the operator to start one.",
                code="model_not_served",
            )
        sent = {**headers, ADAPTER: _quoted(adapter)} if adapter else headers
        answer = await self._try(served, path, body, sent, adapter, first)
        if answer is not None:
            return answer
        raise Unavailable(
            f"The engine of '{base}' is starting or unavailable. Try again in a few seconds.",
            code="engine_unavailable",
        )

    def pick(self, route: Route) -> Replica | None:
        """Select the replica for the next request."""
        served, loaded = route
        return served.replicas.pick(loaded)

    def begin(
        self, route: Route, replica: Replica, path: str, body: bytes, lines: str
    ) -> Answer | None:
        """Post the body to a replica, or return None if no connection to it is idle.

        `lines` are those of the headers, as from `header_lines`. The answer has not arrived yet.
        """
        served, loaded = route
        if loaded:
            lines += _adapter_line(loaded)
        answer = self._client.begin(replica.url, path, body, lines)
        if answer is None:
            return None
        answer.on_close = _reporter(served.replicas, replica, served.replicas.take(replica))
        return answer

    async def _try(
        self,
        served: ServedModel,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        adapter: str | None,
        first: Replica | None,
    ) -> Answer | None:
        """Return an engine's response, or None if no engine accepted the request."""
        began = time.monotonic()
        tried: list[Replica] = []
        if first is not None and served.replicas.has(first):
            replica: Replica | None = first
        else:
            replica = self._next(served.replicas, adapter, tried, began)
        while replica is not None:
            try:
                return await self._post(served.replicas, replica, path, body, headers)
            except NotSent as e:
                log.debug("engine %s accepted no connection: %s", replica.url, e)
                tried.append(replica)
            replica = self._next(served.replicas, adapter, tried, began)
        return None

    async def ready(self) -> dict[str, bool]:
        """Return, for each model with engines, whether at least one engine serves it.

        A model that was added at run time counts once its engine has loaded it.
        """
        models = list(self._served)
        answers = await asyncio.gather(*(served.ready() for served in self._served.values()))
        readiness = dict(zip(models, answers, strict=True)) | self._unserved
        self._loading = {model for model in self._loading if not readiness.get(model)}
        return {model: ready for model, ready in readiness.items() if model not in self._loading}

    def serves(self, model: str) -> bool:
        """Return whether an engine of the model is known to serve, without sending a probe."""
        served = self._served.get(model)
        return served is not None and served.replicas.any_usable

    def replicas(self) -> list[tuple[str, Replica, ReplicaState]]:
        """Return all replicas of all models, each with its model and its state."""
        return [
            (model, *found)
            for model, served in self._served.items()
            for found in served.replicas.listed()
        ]

    async def read_metrics(self, replica: Replica) -> str | None:
        """Return the metrics of a replica, or None if it does not answer in time."""
        body = await self._client.get(
            replica.url, "/metrics", limit_bytes=_METRICS_BYTES, timeout_s=_READY_S
        )
        return None if body is None else body.decode("utf-8", "replace")

    def _next(
        self, replicas: Replicas, adapter: str | None, tried: list[Replica], began: float
    ) -> Replica | None:
        replica = replicas.pick(adapter, tried)
        if not tried or replica is None:
            return replica
        # Doubtful engines may each take a full connect timeout; nobody should wait for two.
        late = time.monotonic() - began >= self._timeouts.connect_s
        if late and not replicas.is_usable(replica):
            return None
        replicas.count_resend()
        return replica

    async def _post(
        self,
        replicas: Replicas,
        replica: Replica,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
    ) -> Answer:
        term = replicas.take(replica)
        try:
            answer = await self._client.post(replica.url, path, body, headers)
        except BaseException as e:
            replicas.release(replica)
            if isinstance(e, ApiError | NotSent):
                _report_failure(replicas, replica, term, e)
            raise
        answer.on_close = _reporter(replicas, replica, term)
        return answer


class ServedModel:
    """A model with engines: its replicas and their health."""

    def __init__(
        self,
        model: str,
        sources: Sequence[str],
        client: EngineClient,
        policy: Policy,
        resolve: Resolve,
    ) -> None:
        self._policy = policy
        self._client = client
        self.replicas = Replicas(model, policy)
        self.queue = FairQueue(
            model,
            self._slots,
            max_waiting=policy.max_waiting,
            start_wait_s=policy.start_wait_s,
        )
        self.replicas.on_return = self._on_return
        self._warming: set[asyncio.Task[None]] = set()
        self._probes = Probes(
            self.replicas,
            functools.partial(client.is_healthy, timeout_s=policy.probe_timeout_s),
            every_s=policy.probe_every_s,
        )
        self._discovery = Discovery(
            sources, self._on_change, resolve=resolve, every_s=policy.dns_every_s
        )

    def _slots(self) -> int:
        """Return how many answers the engines may work on at once for this process."""
        usable = self.replicas.usable
        if not usable and self._policy.start_wait_s:
            return 0
        return share(max(1, usable) * self._policy.requests_at_once)

    def _on_return(self, replica: Replica) -> None:
        self.queue.fill()
        if not replica.has_served:
            task = asyncio.create_task(self._warm(replica), name=f"warm {replica.url}")
            self._warming.add(task)
            task.add_done_callback(self._warming.discard)

    async def _warm(self, replica: Replica) -> None:
        """Let a new replica load the adapters that were in use, before it has its full share."""
        began = time.monotonic()
        warm = 0
        for adapter in self.replicas.used_adapters(replica):
            body = msgspec.json.encode({"model": adapter, "prompt": "Hello", "max_tokens": 1})
            try:
                async with asyncio.timeout(began + _WARM_S - time.monotonic()):
                    headers = {ADAPTER: _quoted(adapter)}
                    answer = await self._client.post(replica.url, _COMPLETIONS, body, headers)
                    try:
                        await answer.read_all(_WARM_BYTES)
                    finally:
                        answer.close()
            except (ApiError, NotSent, TimeoutError):
                break  # users' requests will load the others
            warm += 1
        if warm:
            log.info("engine %s loaded %d adapters that were in use", replica.url, warm)

    async def open(self) -> None:
        """Find the replicas and start probing them."""
        await self._discovery.open(patience_s=_FIRST_LOOK_UP_S)

    async def move(self, sources: Sequence[str]) -> None:
        """Use these engines from now on. Those that stay keep their state."""
        await self._discovery.change(sources, patience_s=_FIRST_LOOK_UP_S)

    async def leave(self) -> None:
        """Send nothing more to the engines."""
        await self.close()
        self.replicas.set_urls(())

    async def close(self) -> None:
        """Stop DNS lookups and probes."""
        for task in list(self._warming):
            await tasks.end(task)
        await self._discovery.close()
        await self._probes.close()

    async def ready(self) -> bool:
        """Return whether a replica serves. If that is in doubt, probe them now."""
        if self.replicas.any_well:
            return True
        try:
            async with asyncio.timeout(_READY_S):
                return await self._probes.any_healthy()
        except TimeoutError:
            return False

    def _on_change(self, urls: Sequence[str]) -> None:
        self.replicas.set_urls(urls)
        self._probes.follow(self.replicas.members)


def _reporter(replicas: Replicas, replica: Replica, term: int) -> Callable[[Answer], None]:
    """Return what reports the outcome of an answer to the replica's health.

    `term` is what `replicas.take` returned.
    """

    def report(answer: Answer) -> None:
        if answer.is_asleep:  # like a failed probe, but sooner
            replicas.record_probe(replica, False)
        elif answer.is_refused:
            replicas.record_refusal(replica, term)
        elif answer.ended:
            # A 500 says nothing about the engine: the request itself may be the cause, and probes
            # check the engine's health.
            if answer.status < 500:
                replicas.record_success(replica, term)
        elif (failure := answer.failure) is not None and not isinstance(failure, NotSent):
            # Neither an abandoned response nor a kept connection that turns out to be closed says
            # anything about the engine.
            _report_failure(replicas, replica, term, failure)
        replicas.release(replica)

    return report


def _report_failure(
    replicas: Replicas, replica: Replica, term: int, failure: ApiError | NotSent
) -> None:
    """Report a request that got no response, or only a part of it."""
    if isinstance(failure, NotSent):
        replicas.record_refusal(replica, term)
    elif isinstance(failure, GatewayTimeout):
        replicas.record_failure(replica, term, Fault.SILENT)
    else:
        is_garbage = isinstance(failure, BadGateway)
        replicas.record_failure(replica, term, Fault.GARBAGE if is_garbage else Fault.LOST)


Route = tuple[ServedModel, str | None]
"""A model with engines, and the adapter that its engine has to load."""


@functools.lru_cache(maxsize=4096)
def _quoted(adapter: str) -> str:
    return quote(adapter, safe="")


@functools.lru_cache(maxsize=4096)
def _adapter_line(adapter: str) -> str:
    return header_lines({ADAPTER: _quoted(adapter)})
