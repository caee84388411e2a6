"""The engines behind the gateway: who serves which base model, and how to ask one.

One `Upstream` is one vLLM server. Only what was surely not sent is sent again, to the
next replica: an error before the connection stood. After that the engine may have begun
to work, and the caller is told.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from service.config import Settings
from service.core.errors import Unavailable
from service.inference.upstreams.client import Answer, EngineClient, NotSent, Timeouts

log = logging.getLogger(__name__)

# An engine that refused a connection is asked last for so long.
_SHUN_S = 2.0
_HEALTH_TIMEOUT_S = 2.0


class Upstream:
    """One engine's server, and what this process saw of it."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.in_flight = 0
        self.shunned_until = 0.0

    def release(self) -> None:
        """One request less."""
        self.in_flight -= 1


class Upstreams:
    """All engines by base model. Open it in the lifespan: `async with Upstreams(…)`."""

    def __init__(
        self,
        by_base: Mapping[str, Sequence[str]],
        *,
        api_key: str | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._by_base = {base: [Upstream(u) for u in urls] for base, urls in by_base.items()}
        self._client = EngineClient(timeouts or Timeouts(), api_key=api_key)

    @classmethod
    def from_settings(cls, settings: Settings) -> Upstreams:
        """Engines as the settings name them; several URLs of one model stand with commas."""
        key = settings.upstream_api_key
        return cls(
            {
                base: [u.strip() for u in urls.split(",") if u.strip()]
                for base, urls in settings.upstreams.items()
            },
            api_key=key.get_secret_value() if key else None,
            timeouts=Timeouts(
                connect_s=settings.upstream_connect_timeout_s,
                first_byte_s=settings.upstream_first_byte_timeout_s,
                between_chunks_s=settings.upstream_between_chunks_timeout_s,
            ),
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def send(
        self,
        base: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        adapter: str | None = None,
    ) -> Answer:
        """Post the body to an engine of this base model; `close()` the answer.

        `adapter` is the name of the adapter that the request needs. Raises Unavailable when no
        engine takes it, GatewayTimeout when one is silent.
        """
        engines = self._in_order(base)
        if not engines:
            raise Unavailable(
                f"No engine serves '{base}' at the moment. Ask the operator to start one.",
                code="model_not_served",
            )
        for engine in engines:
            try:
                return await self._ask(engine, path, body, headers)
            except NotSent as e:
                engine.shunned_until = time.monotonic() + _SHUN_S
                log.warning("engine %s takes no connection: %s", engine.url, e)
        raise Unavailable(
            f"The engine of '{base}' is starting or away. Try again in a few seconds.",
            code="engine_unavailable",
        )

    async def ready(self) -> dict[str, bool]:
        """For each base model, whether at least one engine answers its health check."""
        bases = list(self._by_base)
        answers = await asyncio.gather(*(self._any_healthy(self._by_base[b]) for b in bases))
        return dict(zip(bases, answers, strict=True))

    def _in_order(self, base: str) -> list[Upstream]:
        engines = self._by_base.get(base, [])
        if len(engines) < 2:
            return engines
        now = time.monotonic()
        return sorted(engines, key=lambda e: (e.shunned_until > now, e.in_flight))

    async def _ask(
        self, engine: Upstream, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        engine.in_flight += 1
        try:
            answer = await self._client.post(engine.url, path, body, headers)
        except BaseException:
            engine.release()
            raise
        answer.on_close = engine.release
        return answer

    async def _any_healthy(self, engines: Sequence[Upstream]) -> bool:
        return any(
            await asyncio.gather(
                *(self._client.is_healthy(e.url, timeout_s=_HEALTH_TIMEOUT_S) for e in engines)
            )
        )
