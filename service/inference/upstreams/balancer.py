"""Replica selection. A pure function of names, weights and requests in flight.

Each adapter has its own order of replicas (weighted rendezvous hashing), the same in every API
process. So an adapter stays where it is warm, without shared state. The first replica in that
order that is below its bound takes the request: consistent hashing with bounded loads (Mirrokni,
Thorup, Zadimoghaddam, 2016). The base model is warm everywhere, so the replica with the fewest
requests takes it.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

_REMEMBERED_ORDERS = 4096
_HASH_BITS = 52  # the most that keep every fraction below 1.0 in a float


class Loaded(Protocol):
    """The properties of a replica that the balancer reads."""

    url: str
    in_flight: int


R = TypeVar("R", bound=Loaded)


class Balancer(Generic[R]):
    """Selects among replicas with fixed weights. Create a new balancer if these change.

    A replica is full at `load_factor` times its weighted share of all requests in flight, but never
    below `spill_above` times its weight, so that an adapter stays on its replica at low load.
    """

    def __init__(
        self, replicas: Sequence[tuple[R, float]], *, load_factor: float, spill_above: int
    ) -> None:
        if not replicas or min(weight for _, weight in replicas) <= 0:
            raise ValueError("a balancer needs replicas, each with a weight above 0")
        total = sum(weight for _, weight in replicas)
        self._replicas = [replica for replica, _ in replicas]
        self._weights = [weight for _, weight in replicas]
        self._bounds = [
            (replica, load_factor * weight / total, spill_above * weight)
            for replica, weight in replicas
        ]
        self._only = self._replicas[0] if len(replicas) == 1 else None
        self._turns = itertools.count()
        # 4,096 adapters in about 1 MB. The cache is dropped with this object if replicas change.
        self._orders = functools.lru_cache(_REMEMBERED_ORDERS)(self._order)

    def for_adapter(self, adapter: str) -> tuple[R, bool]:
        """Return the replica for the next request, and whether it is not the adapter's own."""
        if self._only is not None:
            return self._only, False
        requests = 1
        for replica in self._replicas:
            requests += replica.in_flight
        order = self._orders(adapter)
        spilled = False
        for replica, share, floor in order:
            # n < x is n + 1 <= ceil(x), so the bound holds with this request included.
            if replica.in_flight < floor or replica.in_flight < share * requests:
                return replica, spilled
            spilled = True
        return order[0][0], False  # unreachable: the bounds add up to more than the requests

    def least_loaded(self) -> R:
        """Return the replica with the fewest requests per weight; ties are broken in turn."""
        if self._only is not None:
            return self._only
        replicas, weights = self._replicas, self._weights
        at = next(self._turns) % len(replicas)
        best, least = at, math.inf
        for i in range(at - len(replicas), at):
            load = (replicas[i].in_flight + 1) / weights[i]
            if load < least:
                best, least = i, load
        return replicas[best]

    def _order(self, adapter: str) -> list[tuple[R, float, float]]:
        ranked = sorted(
            zip(self._bounds, self._weights, strict=True),
            key=lambda b: (-_score(adapter, b[0][0].url, b[1]), b[0][0].url),
        )
        return [bound for bound, _ in ranked]


def _score(adapter: str, url: str, weight: float) -> float:
    """Return the weighted rendezvous score. The chance to be first equals the weight's share.

    If one weight changes, only adapters that move to or from that replica change places.
    """
    digest = hashlib.blake2b(f"{adapter}\0{url}".encode(), digest_size=8).digest()
    fraction = ((int.from_bytes(digest, "big") >> (64 - _HASH_BITS)) + 0.5) / 2**_HASH_BITS
    return -weight / math.log(fraction)
