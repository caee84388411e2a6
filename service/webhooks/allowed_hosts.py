"""URL validation for webhook endpoints, and the hosts that the operator allows.

yarl parses the URL here and again for the request. With two different parsers, the host that is
checked could differ from the host that is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from yarl import URL

_PRINTABLE = re.compile(r"[!-\[\]-~]+")  # ASCII without spaces and backslashes
_ORIGIN = re.compile(r"(?i:https?)://(?P<authority>[^/?#]+)")


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
