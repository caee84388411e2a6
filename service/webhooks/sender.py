"""HTTP client that sends signed events to webhook endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from service import __version__
from service.core import ids
from service.core.outbox import Event
from service.webhooks.allowed_hosts import AllowedHosts, HostNotAllowed, InvalidUrl, parse_url
from service.webhooks.events import payload
from service.webhooks.records import Endpoint
from service.webhooks.signing import signed_headers

_GONE = 410


@dataclass(frozen=True)
class Result:
    """Result of a request: the response status, or the error class if there was no response."""

    status: int | None = None
    error: str | None = None

    @property
    def delivered(self) -> bool:
        """Whether the endpoint accepted the event."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the endpoint answered 410: it wants no more events."""
        return self.status == _GONE


class Sender:
    """HTTP client that follows no redirects, keeps no cookies and reads no response bodies.

    It ignores proxy variables in the environment, so it connects only to allowed hosts.
    """

    def __init__(self, hosts: AllowedHosts, timeout_s: float) -> None:
        self._hosts = hosts
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            headers={"user-agent": f"finetuned/{__version__}"},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, endpoint: Endpoint, event: Event) -> Result:
        """Post an event. Returns only the class of an error: its message may contain the URL."""
        if self._session is None:
            raise RuntimeError("the sender is not open")
        body = payload(event)
        now_s = ids.now_s()
        headers = signed_headers(endpoint.secrets(now_s), event.id, now_s, body)
        headers["content-type"] = "application/json"
        try:
            url = parse_url(endpoint.url)
            self._hosts.require(url)
            response = await self._session.post(
                url, data=body.encode(), headers=headers, allow_redirects=False
            )
        except (HostNotAllowed, InvalidUrl, aiohttp.ClientError, OSError, ValueError) as e:
            return Result(error=type(e).__name__)
        response.close()  # the body is not needed
        return Result(status=response.status)
