"""Worker requests to the serving engines, with the same routing as the gateway.

The routing chooses the replica of an adapter by the adapter's name, so a worker warms the replica
that receives the first user's request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from service.config import Settings
from service.core import tracing
from service.core.errors import ApiError
from service.core.leases import Held, Leases
from service.core.outbox import Command, Event
from service.core.records import PREFIX, Unreadable
from service.core.redis import REDIS_ERRORS, text, why
from service.inference.upstreams import Upstreams
from service.jobs.records import Jobs, Status

log = logging.getLogger(__name__)

_WARM_S = 60.0
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
# These statuses say nothing about the model: the key is wrong, there are too many requests, or the
# engine or a proxy in front of it is down.
_AWAY = frozenset({401, 403, 408, 429, 502, 503, 504})
_CODE = re.compile(r"[a-zA-Z_]{1,64}")
WARM_UPS = f"{PREFIX}:warm-ups"
_POLL_S = 1.0
_MAX_CONCURRENT = (
    8  # an engine may take a minute to answer, and must not delay the models of others
)
_PAGE = 100
_LEASE_ATTEMPT = 1  # leases require an attempt number; warm-ups have none


class EngineAway(Exception):
    """The engine could not be reached or gave no usable response."""


class EngineRefused(EngineAway):
    """The engine responded, but not with the requested result."""


async def complete(
    upstreams: Upstreams, base: str, body: Mapping[str, Any], path: str = "/v1/completions"
) -> Any:
    """Return the response to an inference request for the base model or one of its adapters.

    Raises EngineRefused if the engine responds with an error, and EngineAway on other failures.
    """
    adapter = None if body["model"] == base else str(body["model"])
    request = msgspec.json.encode(body)
    try:
        answer = await upstreams.send(base, path, request, tracing.carrier(), adapter=adapter)
        try:
            raw = await answer.read_all(_MAX_ANSWER_BYTES)
        finally:
            answer.close()
    except ApiError as e:
        raise EngineAway(e.code or type(e).__name__) from e
    if answer.status in _AWAY:
        raise EngineAway(f"it answered {answer.status}")
    if answer.status != 200:
        raise EngineRefused(f"it answered {answer.status}{_code(raw)}")
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as e:
        raise EngineAway("its answer is not JSON") from e


def _code(raw: bytes) -> str:
    """Return the error code in parentheses. The message is left out: it may contain the prompt."""
    try:
        code = msgspec.json.decode(raw)["error"]["code"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""
    return f" ({code})" if isinstance(code, str) and _CODE.fullmatch(code) else ""


async def warm(upstreams: Upstreams, base: str, adapter: str) -> None:
    """Make the adapter's replica fetch and load it, so that no user has to wait for that."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(_WARM_S):
            await complete(upstreams, base, {"model": adapter, "prompt": "Hello", "max_tokens": 1})
    except (EngineAway, TimeoutError) as e:
        log.warning("model %s is not warm: %s", adapter, str(e) or type(e).__name__)
    else:
        log.info("model %s is warm after %.2f s", adapter, time.monotonic() - began)


async def request_warm_up(event: Event) -> list[Command]:
    """Return the commands that request the warm-up of a succeeded job's model."""
    if event.type != f"fine_tuning.job.{Status.SUCCEEDED}":
        return []
    return [["ZADD", WARM_UPS, str(event.created_at), f"{event.project_id}/{event.subject_id}"]]


class WarmUps:
    """Warms up the new models of all projects. Runs in each cpu worker."""

    def __init__(
        self,
        jobs: Jobs,
        leases: Leases,
        upstreams: Upstreams,
        settings: Settings,
        *,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._jobs = jobs
        self._leases = leases
        self._upstreams = upstreams
        self._settings = settings
        self._on_round = on_round
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Start the next round now."""
        self._woken.set()

    async def run(self) -> None:
        """Warm up models until cancelled. Rounds in which Redis is unavailable are skipped."""
        while True:
            self._on_round()
            self._woken.clear()
            try:
                await self._round()
            except REDIS_ERRORS as e:
                log.warning("Redis is unavailable, warm-ups are delayed: %s", why(e))
            # Not asyncio.wait_for, which before Python 3.12 can swallow a cancellation.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._woken.wait()

    async def _round(self) -> None:
        members = await self._jobs.redis.zrange(WARM_UPS, 0, _PAGE - 1)
        async with asyncio.TaskGroup() as group:
            for member in members:
                group.create_task(self._serve(text(member)))

    async def _serve(self, member: str) -> None:
        project_id, job_id = member.split("/", 1)
        try:
            async with self._slots, self._leases.hold(f"warm-up:{job_id}", _LEASE_ATTEMPT):
                # Another worker may have done it since the list was read.
                if await self._jobs.redis.zscore(WARM_UPS, member) is not None:
                    await self._warm(project_id, job_id)
                    await self._jobs.redis.zrem(WARM_UPS, member)
        except Held:
            pass  # another worker does it
        except REDIS_ERRORS as e:
            log.warning("Redis is unavailable, the warm-up of %s is delayed: %s", job_id, why(e))

    async def _warm(self, project_id: str, job_id: str) -> None:
        with contextlib.suppress(Unreadable):
            job = await self._jobs.get(project_id, job_id)
            served = self._settings.engine_urls
            if job is not None and job.fine_tuned_model is not None and job.model in served:
                await warm(self._upstreams, job.model, job.fine_tuned_model)
