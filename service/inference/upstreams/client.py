"""How one engine is asked: an HTTP client for the gateway's road, and the answer it gets.

What was surely not sent raises `NotSent`; after that the engine may have begun to work, and
every failure is an `ApiError` for the caller.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from service.core.errors import ApiError, BadGateway, GatewayTimeout, Unavailable

log = logging.getLogger(__name__)

# Below the 75 s after which the engine closes an idle connection (see engine/launch.py), so
# that no request goes out on one that is being closed.
_KEEPALIVE_S = 30.0
_READ_BUFFER_BYTES = 64 * 1024


class NotSent(Exception):
    """No byte of the request reached the engine: another may be asked."""


@dataclass(frozen=True)
class Timeouts:
    """How long an engine may take, in seconds."""

    connect_s: float = 5.0
    # Without streaming the first byte comes when the whole answer is there.
    first_byte_s: float = 600.0
    between_chunks_s: float = 120.0


class Answer:
    """An engine's answer whose status is known and whose body is still to come."""

    def __init__(self, response: aiohttp.ClientResponse, url: str, timeouts: Timeouts) -> None:
        self._response = response
        self._url = url
        self._timeouts = timeouts
        self._started = False
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.on_close: Callable[[], None] | None = None

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
            raise _silent(self._url, wait_s) from e
        except aiohttp.ClientError as e:
            raise _lost(self._url, e) from e
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
        if not self.ended:
            self._response.close()
        if self.on_close is not None:
            self.on_close()
            self.on_close = None


class EngineClient:
    """Posts to engines over kept connections. Open it: `async with EngineClient(…)`."""

    def __init__(self, timeouts: Timeouts, *, api_key: str | None = None) -> None:
        self._timeouts = timeouts
        self._headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
        }
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._session: aiohttp.ClientSession | None = None

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

    async def post(self, url: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post the body to the engine at `url`; `close()` the answer.

        Raises NotSent, GatewayTimeout, Unavailable or BadGateway.
        """
        try:
            async with asyncio.timeout(self._timeouts.first_byte_s):
                response = await self._opened().post(
                    url + path,
                    data=_payload(body),
                    headers={**self._headers, **headers},
                    allow_redirects=False,
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as e:
            raise NotSent(type(e).__name__) from e
        except TimeoutError as e:
            raise _silent(url, self._timeouts.first_byte_s) from e
        except aiohttp.ClientError as e:
            raise _lost(url, e) from e
        return Answer(response, url, self._timeouts)

    async def is_healthy(self, url: str, *, timeout_s: float) -> bool:
        """Whether the engine at `url` answers its health check in time."""
        try:
            async with asyncio.timeout(timeout_s):
                async with self._opened().get(f"{url}/health") as response:
                    return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("EngineClient is not open: use it as an async context manager")
        return self._session


def _payload(body: bytes) -> bytes | io.BytesIO:
    # aiohttp writes bytes in one go, and warns above 1 MiB; a BytesIO goes in pieces.
    return body if len(body) <= 1024 * 1024 else io.BytesIO(body)


def _silent(url: str, waited_s: float) -> GatewayTimeout:
    log.warning("engine %s sent nothing for %g s", url, waited_s)
    return GatewayTimeout(
        f"The engine sent nothing for {waited_s:g} seconds. Try again; ask for fewer tokens "
        "if it stays so.",
        code="engine_timeout",
    )


def _lost(url: str, error: aiohttp.ClientError) -> ApiError:
    log.warning("engine %s was lost in mid-answer: %s", url, type(error).__name__)
    if isinstance(error, aiohttp.ClientResponseError):
        return BadGateway("The engine answered something that is not HTTP.")
    return Unavailable(
        "The engine was lost while it answered. Try again in a few seconds.",
        code="engine_lost",
    )
