"""Which replica takes a request. Pure: a function of names, weights and requests in flight.

An adapter has an order of replicas of its own (weighted rendezvous hashing), the same in every
api process, so that each adapter stays where it is warm and nothing is shared. The first of
them that is below its bound takes the request: consistent hashing with bounded loads
(Mirrokni, Thorup, Zadimoghaddam, 2016). The base model is warm everywhere: the replica with
the fewest requests takes it.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

_REMEMBERED_ORDERS = 4096
_HASH_BITS = 52  # as many as keep every fraction below 1.0 in a float


class Loaded(Protocol):
    """What is known of a replica here."""

    url: str
    in_flight: int


R = TypeVar("R", bound=Loaded)


class Balancer(Generic[R]):
    """Chooses between replicas of fixed weights; make another one when these change.

    A replica is full with `load_factor` times its share of all requests in flight, by weight,
    but never with fewer than `spill_above` times its weight: at low load an adapter stays.
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
        # 4,096 adapters in about 1 MB; those of another set of replicas go with this object.
        self._orders = functools.lru_cache(_REMEMBERED_ORDERS)(self._order)

    def for_adapter(self, adapter: str) -> tuple[R, bool]:
        """The replica for one request more, and whether it is another than the adapter's own."""
        if self._only is not None:
            return self._only, False
        requests = 1
        for replica in self._replicas:
            requests += replica.in_flight
        order = self._orders(adapter)
        spilled = False
        for replica, share, floor in order:
            # n < x is n + 1 <= ceil(x): the bound holds with this request counted.
            if replica.in_flight < floor or replica.in_flight < share * requests:
                return replica, spilled
            spilled = True
        return order[0][0], False  # not reached: the bounds add up to more than the requests

    def least_loaded(self) -> R:
        """The replica with the fewest requests for its weight; in turn where they are equal."""
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
    """Weighted rendezvous: the chance to be first is the share of the weights.

    When one weight changes, only adapters that come to or leave that replica move.
    """
    digest = hashlib.blake2b(f"{adapter}\0{url}".encode(), digest_size=8).digest()
    fraction = ((int.from_bytes(digest, "big") >> (64 - _HASH_BITS)) + 0.5) / 2**_HASH_BITS
    return -weight / math.log(fraction)
