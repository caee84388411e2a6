"""The address of the client of a request.

It is the address of the connection, unless this is a trusted proxy: then it is the last address in
`X-Forwarded-For` that is not a trusted proxy's. What is before it, and the header of a connection
that is not trusted, is only what the client claims.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from starlette.types import Scope

from service.core.networks import Address, Network, address_of, is_in

_FORWARDED: Final = b"x-forwarded-for"
_MOST_PROXIES: Final = 16


class ClientAddresses:
    """Determines the addresses of clients, which may be behind trusted proxies."""

    def __init__(self, trusted_proxies: Iterable[Network] = ()) -> None:
        self._trusted = tuple(trusted_proxies)

    def of(self, scope: Scope) -> Address | None:
        """Return the address of a request's client.

        Returns None if it is unknown: on a Unix socket, or if a trusted proxy does not state it.
        """
        client = scope.get("client")
        peer = None if client is None else address_of(client[0])
        if peer is None or not is_in(peer, self._trusted):
            return peer
        for text in reversed(_forwarded(scope)[-_MOST_PROXIES:]):
            address = address_of(text)
            if address is None or not is_in(address, self._trusted):
                return address
        return None


def _forwarded(scope: Scope) -> list[str]:
    """The addresses in all headers, the nearest last."""
    values = [value for name, value in scope["headers"] if name == _FORWARDED]
    return b",".join(values).decode("latin-1").split(",") if values else []
