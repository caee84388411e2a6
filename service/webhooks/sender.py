"""Sends signed events to the hosts that the operator allows.

yarl parses the URL both for the check and for the request. With two different parsers, the host
that is checked could differ from the host that is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from service import __version__
from service.core import clock
from service.core.outbox import Event
from service.webhooks.records import Endpoint
from service.webhooks.schemas import event_payload
from service.webhooks.signing import signed_headers

_PRINTABLE = re.compile(r"[!-\[\]-~]+")  # ASCII without spaces and backslashes
_ORIGIN = re.compile(r"(?i:https?)://(?P<authority>[^/?#]+)")
_GONE = 410


class InvalidUrl(ValueError):
    """The text is not a valid webhook URL. The message contains the reason."""


class HostNotAllowed(Exception):
    """The operator has not allowed the host and port of the URL."""


def parse_url(text: str) -> URL:
    """Parse an absolute http or https URL. Raises InvalidUrl."""
    origin = _ORIGIN.match(text)
    if origin is None or not _PRINTABLE.fullmatch(text):
        raise InvalidUrl("use an absolute http:// or https:// URL in ASCII")
    if "@" in origin["authority"]:
        raise InvalidUrl("leave out the user name and password; the signature authenticates")
    if "#" in text:
        raise InvalidUrl("leave out the fragment")
    try:
        url = URL(text)
    except ValueError as e:
        raise InvalidUrl("the host or port is malformed") from e
    if not url.host_subcomponent:
        raise InvalidUrl("the host is missing")
    return url


class AllowedHosts:
    """Hosts in `FINETUNED_WEBHOOK_ALLOWED_HOSTS`. Each entry is a host, or a host and a port."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries = frozenset(entries)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def require(self, url: URL) -> None:
        """Raise HostNotAllowed unless an entry names the URL's host and port."""
        host = (url.host_subcomponent or "").lower()
        if f"{host}:{url.port}" in self._entries:
            return
        if url.is_default_port() and host in self._entries:
            return
        raise HostNotAllowed(host)


@dataclass(frozen=True)
class SendResult:
    """The status of the response, or the class of the error if there was none."""

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

    async def send(self, endpoint: Endpoint, event: Event) -> SendResult:
        """Post an event. Returns only the class of an error: its message may contain the URL."""
        if self._session is None:
            raise RuntimeError("the sender is not open")
        body = event_payload(event)
        now_s = clock.now_s()
        headers = signed_headers(endpoint.secrets(now_s), event.id, now_s, body)
        headers["content-type"] = "application/json"
        try:
            url = parse_url(endpoint.url)
            self._hosts.require(url)
            response = await self._session.post(
                url, data=body.encode(), headers=headers, allow_redirects=False
            )
        except (HostNotAllowed, InvalidUrl, aiohttp.ClientError, OSError, ValueError) as e:
            return SendResult(error=type(e).__name__)
        response.close()  # the body is not needed
        return SendResult(status=response.status)
