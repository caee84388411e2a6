"""Determines the address of a client, and throttles its failed authentications.

The address is that of the connection or, if this is a trusted proxy, the last address in
`X-Forwarded-For` that is not a trusted proxy's. Earlier addresses, and headers of untrusted
connections, are only claims of the client.

A valid key is never refused because of failures: behind a proxy or NAT, many clients share an
address, and an attacker among them must not lock out the others. Only responses to failures are
throttled, in the memory of each process. Secrets have 190 bits of entropy, so guesses need no more.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from ipaddress import IPv6Address
from typing import Final

from starlette.types import Scope

from service.core.networks import Address, Network, address_of, is_in

_FORWARDED: Final = b"x-forwarded-for"
_MAX_PROXIES: Final = 16
_MAX_ADDRESSES: Final = 10_000
_IPV6_HOST_BITS: Final = 64  # one customer usually has at least a /64


class ClientAddresses:
    """Determines the addresses of clients, which may be behind trusted proxies."""

    def __init__(self, trusted_proxies: Iterable[Network] = ()) -> None:
        self._trusted = tuple(trusted_proxies)

    def find(self, scope: Scope) -> Address | None:
        """Return the address of a request's client.

        Returns None if it is unknown: on a Unix socket, or if a trusted proxy does not state it.
        """
        client = scope.get("client")
        peer = None if client is None else address_of(client[0])
        if peer is None or not is_in(peer, self._trusted):
            return peer
        for text in reversed(_forwarded(scope)[-_MAX_PROXIES:]):
            address = address_of(text)
            if address is None or not is_in(address, self._trusted):
                return address
        return None


def _forwarded(scope: Scope) -> list[str]:
    """Return the addresses in all headers, the nearest last."""
    values = [value for name, value in scope["headers"] if name == _FORWARDED]
    return b",".join(values).decode("latin-1").split(",") if values else []


class FailureThrottle:
    """Allows `per_minute` failures per address, also in one burst. 0 allows any number."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = per_minute
        self._clock = clock
        self._failures: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def record_failure(self, address: Address | None) -> int | None:
        """Count a failure. Returns the seconds to wait if there were too many, otherwise None."""
        if not self._most:
            return None
        key, now, per_s = client_of(address), self._clock(), self._most / 60
        count, at = self._failures.pop(key, (0.0, now))
        count = max(0.0, count - (now - at) * per_s)
        is_over = count + 1 > self._most
        self._failures[key] = (count if is_over else count + 1, now)
        if len(self._failures) > _MAX_ADDRESSES:
            self._failures.popitem(last=False)
        return max(1, math.ceil((count + 1 - self._most) / per_s)) if is_over else None

    def is_over(self, address: Address | None) -> bool:
        """Return whether one more failure of the address would be too many."""
        if not self._most:
            return False
        count, at = self._failures.get(client_of(address), (0.0, 0.0))
        return count - (self._clock() - at) * self._most / 60 + 1 > self._most


def client_of(address: Address | None) -> Hashable:
    """Return what identifies a client: its address, or its network of IPv6."""
    if isinstance(address, IPv6Address):
        return "6", int(address) >> _IPV6_HOST_BITS
    return address
