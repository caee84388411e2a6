"""The URLs that a webhook may call.

The URL is parsed by yarl, which also parses it for the request. A second parser could read
another host from the same text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from yarl import URL

_PRINTABLE = re.compile(r"[!-\[\]-~]+")  # ASCII without spaces and backslashes
_ORIGIN = re.compile(r"(?i:https?)://(?P<authority>[^/?#]+)")


class InvalidUrl(ValueError):
    """The text is not a URL that can receive webhooks; the message has the reason."""


class HostNotAllowed(Exception):
    """The operator has not allowed the URL's host."""


def parse_url(text: str) -> URL:
    """The URL. Raises InvalidUrl."""
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
    """`FINETUNED_WEBHOOK_ALLOWED_HOSTS`: each entry is a host or a host and port."""

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
