"""The engines behind the gateway: who serves which base model, and how to ask one.

One `Upstream` is one vLLM server. Only what was surely not sent is sent again, to the
next replica: an error before the connection stood. After that the engine may have begun
to work, and the caller is told.
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from service.config import Settings
from service.core.errors import ApiError, BadGateway, GatewayTimeout, Unavailable

log = logging.getLogger(__name__)

# An engine that refused a connection is asked last for so long.
_SHUN_S = 2.0
_HEALTH_TIMEOUT_S = 2.0
# Below the 75 s after which the engine closes an idle connection (see launch.py), so
# that no request goes out on one that is being closed.
_KEEPALIVE_S = 30.0
_READ_BUFFER_BYTES = 64 * 1024


@dataclass(frozen=True)
class Timeouts:
    """How long an engine may take, in seconds."""

    connect_s: float = 5.0
    # Without streaming the first byte comes when the whole answer is there.
    first_byte_s: float = 600.0
    between_chunks_s: float = 120.0


class Upstream:
    """One engine's server, and what this process saw of it."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.in_flight = 0
        self.shunned_until = 0.0


class Answer:
    """An engine's answer whose status is known and whose body is still to come."""

    def __init__(self, response: aiohttp.ClientResponse, upstream: Upstream, t: Timeouts) -> None:
        self._response = response
        self._upstream = upstream
        self._timeouts = t
        self._started = False
        self.status = response.status
        self.headers = response.headers

    @property
    def ended(self) -> bool:
        """Whether every byte has been read."""
        return self._response.content.at_eof()

    async def read(self) -> bytes:
        """The next bytes as they came; empty at the end.

        Raises GatewayTimeout when none came in time, Unavailable when the engine died.
        """
        t = self._timeouts
        wait_s = t.between_chunks_s if self._started else t.first_byte_s
        try:
            async with asyncio.timeout(wait_s):
                chunk = await self._response.content.readany()
        except TimeoutError as e:
            raise _silent(self._upstream, wait_s) from e
        except aiohttp.ClientError as e:
            raise _lost(self._upstream, e) from e
        self._started = True
        return chunk

    async def read_all(self, limit_bytes: int) -> bytes:
        """The body up to a limit, for answers that are errors."""
        chunks, size = [], 0
        while size < limit_bytes and (chunk := await self.read()):
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)[:limit_bytes]

    def close(self) -> None:
        """End it; unless every byte has been read the connection goes, and vLLM stops."""
        self._upstream.in_flight -= 1
        if not self.ended:
            self._response.close()


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
        self._timeouts = timeouts or Timeouts()
        self._headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
        }
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._session: aiohttp.ClientSession | None = None

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
        self._session = aiohttp.ClientSession(
            # Every request in flight holds one connection; the gateway bounds them, not this.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_READ_BUFFER_BYTES,
            skip_auto_headers=("User-Agent", "Accept"),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, base: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post the body to an engine of this base model; `close()` the answer.

        Raises Unavailable when no engine takes it, GatewayTimeout when one is silent.
        """
        engines = self._in_order(base)
        if not engines:
            raise Unavailable(
                f"No engine serves '{base}' at the moment. Ask the operator to start one.",
                code="model_not_served",
            )
        for engine in engines:
            try:
                return await self._ask(engine, path, body, {**self._headers, **headers})
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as e:
                engine.shunned_until = time.monotonic() + _SHUN_S
                log.warning("engine %s takes no connection: %s", engine.url, type(e).__name__)
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
            async with asyncio.timeout(self._timeouts.first_byte_s):
                response = await self._opened().post(
                    engine.url + path,
                    data=_payload(body),
                    headers=headers,
                    allow_redirects=False,
                )
            return Answer(response, engine, self._timeouts)
        except BaseException as e:
            engine.in_flight -= 1
            # ConnectionTimeoutError is a TimeoutError too, and is the caller's to retry.
            if isinstance(e, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
                raise
            if isinstance(e, TimeoutError):
                raise _silent(engine, self._timeouts.first_byte_s) from e
            if isinstance(e, aiohttp.ClientError):
                raise _lost(engine, e) from e
            raise

    async def _any_healthy(self, engines: Sequence[Upstream]) -> bool:
        return any(await asyncio.gather(*(self._healthy(e) for e in engines)))

    async def _healthy(self, engine: Upstream) -> bool:
        try:
            async with asyncio.timeout(_HEALTH_TIMEOUT_S):
                async with self._opened().get(f"{engine.url}/health") as response:
                    return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("Upstreams is not open: use it as an async context manager")
        return self._session


def _payload(body: bytes) -> bytes | io.BytesIO:
    # aiohttp writes bytes in one go, and warns above 1 MiB; a BytesIO goes in pieces.
    return body if len(body) <= 1024 * 1024 else io.BytesIO(body)


def _silent(engine: Upstream, waited_s: float) -> GatewayTimeout:
    log.warning("engine %s sent nothing for %g s", engine.url, waited_s)
    return GatewayTimeout(
        f"The engine sent nothing for {waited_s:g} seconds. Try again; ask for fewer tokens "
        "if it stays so.",
        code="engine_timeout",
    )


def _lost(engine: Upstream, error: aiohttp.ClientError) -> ApiError:
    log.warning("engine %s was lost in mid-answer: %s", engine.url, type(error).__name__)
    if isinstance(error, aiohttp.ClientResponseError):
        return BadGateway("The engine answered something that is not HTTP.")
    return Unavailable(
        "The engine was lost while it answered. Try again in a few seconds.",
        code="engine_lost",
    )
