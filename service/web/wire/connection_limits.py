"""A limit on the connections that one address holds at a time, per API process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from service.core.errors import RateLimited
from service.core.networks import Network, address_of, is_in, network

_THIS_MACHINE: Final = (network("127.0.0.0/8"), network("::1"))
_MAX_REFUSALS: Final = 100  # concurrent connections of an address that get an error response


class ConnectionLimits:
    """The open connections of each address. Trusted proxies and this machine have no limit."""

    def __init__(
        self, most: int, *, unlimited: Iterable[Network] = (), this_machine: bool = False
    ) -> None:
        self.most = most
        self._unlimited = (*unlimited, *(() if this_machine else _THIS_MACHINE))
        self._open = Counter[str]()

    def enter(self, host: str) -> bool:
        """Count a new connection. Returns whether its address has too many."""
        self._open[host] += 1
        return self._open[host] > self.most and not self._has_no_limit(host)

    def is_flood(self, host: str) -> bool:
        """Whether an address continues to connect while its connections are refused."""
        return self._open[host] > self.most + _MAX_REFUSALS and not self._has_no_limit(host)

    def leave(self, host: str) -> None:
        """Count the end of a connection."""
        self._open[host] -= 1
        if not self._open[host]:
            del self._open[host]

    def _has_no_limit(self, host: str) -> bool:
        address = address_of(host)
        return address is None or is_in(address, self._unlimited)

    def refusal(self) -> RateLimited:
        """The answer to a connection over the limit."""
        return RateLimited(
            f"Your address has {self.most} connections to this server already. Close some, or "
            "reuse them for several requests. If they are those of a reverse proxy, its operator "
            "names it in FINETUNED_TRUSTED_PROXIES.",
            code="limit_reached",
        )
