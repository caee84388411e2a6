"""Throttling of failed authentication by the client's address, in the memory of one process.

A valid key is never refused, whatever its address: behind a proxy or a network address translation,
many clients share one, and an attacker among them must not lock out the others. What is throttled
are only the answers to failures. Secrets have 190 bits of entropy, so that guesses need no more.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address
from typing import Final

from service.core.networks import Address

_MOST_ADDRESSES: Final = 10_000
_IPV6_HOST_BITS: Final = 64  # one customer usually has at least a /64


class FailureThrottle:
    """Allows `per_minute` failures of each address, at most all of them at once. 0: any number."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = per_minute
        self._clock = clock
        self._failures: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def failed(self, address: Address | None) -> int | None:
        """Note a failure. Returns the seconds to wait if there were too many, otherwise None."""
        if not self._most:
            return None
        key, now, per_s = client_of(address), self._clock(), self._most / 60
        count, at = self._failures.pop(key, (0.0, now))
        count = max(0.0, count - (now - at) * per_s)
        is_over = count + 1 > self._most
        self._failures[key] = (count if is_over else count + 1, now)
        if len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)
        return max(1, math.ceil((count + 1 - self._most) / per_s)) if is_over else None


def client_of(address: Address | None) -> Hashable:
    """Return what identifies a client: its address, or its network of IPv6."""
    if isinstance(address, IPv6Address):
        return "6", int(address) >> _IPV6_HOST_BITS
    return address
