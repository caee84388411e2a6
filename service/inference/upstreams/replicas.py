"""The replicas of one model: selection, state, reporting of outcomes, and health probes.

Each adapter has its own order of replicas (weighted rendezvous hashing), the same in every API
process. So an adapter stays where it is warm, without shared state. The first replica in that
order that is below its bound takes the request: consistent hashing with bounded loads (Mirrokni,
Thorup, Zadimoghaddam, 2016). The base model is warm everywhere, so the replica with the fewest
requests takes it.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Generic, Protocol, TypeVar

from service.core import metrics, tasks
from service.inference.upstreams.health import Fault, Health, Policy, ReplicaState

_REMEMBERED_ORDERS = 4096
_REMEMBERED_USES = 256
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

    def own_replica(self, adapter: str) -> R:
        """Return the first replica in the adapter's order."""
        return self._replicas[0] if self._only is not None else self._orders(adapter)[0][0]

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


log = logging.getLogger(__name__)


class Replica:
    """One engine server and this process's view of it."""

    __slots__ = ("has_served", "health", "in_flight", "url")

    def __init__(self, url: str, policy: Policy) -> None:
        self.url = url
        self.has_served = False
        self.in_flight = 0
        self.health = Health(policy)


class Replicas:
    """All replicas of one model. Not thread-safe: use them in one event loop.

    Call `pick` and `take`; then one of `record_refusal`, `record_failure` and `record_success` with
    the term that `take` returned (or none, if the caller disconnected); then `release` in any case.
    """

    def __init__(
        self,
        model: str,
        policy: Policy,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._policy = policy
        self.on_return: Callable[[Replica], None] = lambda _: None
        """Called with a replica that begins to serve."""
        self._used: dict[str, None] = {}
        """Adapters that were requested, the latest last."""
        self._clock = clock
        self._members: dict[str, Replica] = {}
        self._leaving: dict[str, Replica] = {}
        self._usable: list[Replica] = []
        self._balancer: Balancer[Replica] | None = None
        self._changes_at = math.inf

    @property
    def members(self) -> list[Replica]:
        """Replicas that can receive requests, whatever their state."""
        return list(self._members.values())

    @property
    def any_well(self) -> bool:
        """Whether at least one replica serves and has not failed recently."""
        return any(not replica.health.in_doubt for replica in self._usable)

    @property
    def any_usable(self) -> bool:
        """Whether at least one replica is known to serve and has not failed since."""
        return bool(self._usable)

    @property
    def usable(self) -> int:
        """Number of replicas that are known to serve and have not failed since."""
        return len(self._usable)

    def set_urls(self, urls: Sequence[str]) -> None:
        """Set the current replicas. Running requests on removed replicas finish there."""
        known = {**self._members, **self._leaving}
        self._members = {url: known.get(url) or Replica(url, self._policy) for url in urls}
        self._leaving = {
            url: replica
            for url, replica in known.items()
            if url not in self._members and replica.in_flight
        }
        log.info("model %s has %d replicas", self._model, len(self._members))
        self._refresh()

    def pick(self, adapter: str | None, tried: Collection[Replica] = ()) -> Replica | None:
        """Select the replica for the next request, excluding those already tried.

        `adapter` is None if no adapter is needed. If no replica is usable, unusable ones are tried
        too: a doubtful engine is better than a certain error.
        """
        if self._changes_at <= self._clock():
            self._refresh()
        if tried:
            return self._pick_another(adapter, tried)
        if self._balancer is None:
            return self._pick_another(adapter, ())
        if adapter is None:
            return self._balancer.least_loaded()
        self._used.pop(adapter, None)
        self._used[adapter] = None
        if len(self._used) > _REMEMBERED_USES:
            del self._used[next(iter(self._used))]
        replica, spilled = self._balancer.for_adapter(adapter)
        if spilled:
            metrics.ENGINE_SPILLED_REQUESTS.cell(self._model).inc()
        return replica

    def used_adapters(self, replica: Replica) -> list[str]:
        """Return the adapters in use whose own replica this one becomes, the latest first."""
        own = self._balance([(one, 1.0) for one in self._usable])
        return [a for a in reversed(self._used) if own.own_replica(a) is replica]

    def has(self, replica: Replica) -> bool:
        """Return whether the replica can receive requests of this model."""
        return self._members.get(replica.url) is replica

    def is_usable(self, replica: Replica) -> bool:
        """Return whether the replica is known to serve and has not failed since."""
        return replica in self._usable

    def count_resend(self) -> None:
        """Count a request that is sent to another replica after one did not accept it."""
        metrics.ENGINE_RESENT_REQUESTS.cell(self._model).inc()

    def take(self, replica: Replica) -> int:
        """Start a request on a replica. Returns the term, which identifies its current state."""
        replica.in_flight += 1
        return replica.health.term

    def release(self, replica: Replica) -> None:
        """End a request on a replica."""
        replica.in_flight -= 1
        if not replica.in_flight and self._leaving.pop(replica.url, None) is not None:
            self._publish()

    def record_refusal(self, replica: Replica, term: int) -> None:
        """Record a failure to connect."""
        if term == replica.health.term and replica.health.record_refusal(self._clock()):
            self._on_ejection(replica, Fault.UNREACHABLE)

    def record_failure(self, replica: Replica, term: int, fault: Fault) -> None:
        """Record a failure after the request was sent."""
        if term != replica.health.term:
            return
        spare = any(r is not replica for r in self._usable)
        if replica.health.record_failure(self._clock(), spare=spare):
            self._on_ejection(replica, fault)

    def record_success(self, replica: Replica, term: int) -> None:
        """Record a complete response."""
        if term == replica.health.term and replica.health.record_success(self._clock()):
            self._on_return(replica)

    def record_probe(self, replica: Replica, healthy: bool) -> None:
        """Record the result of a health check."""
        if not replica.health.record_probe(healthy, self._clock()):
            if self._changes_at <= self._clock():
                self._refresh()  # keeps the metrics correct without requests
        elif healthy:
            self._on_return(replica)
        else:
            self._on_ejection(replica, Fault.UNHEALTHY)

    def states(self) -> dict[ReplicaState, int]:
        """Count the replicas in each state."""
        now = self._clock()
        found = Counter(replica.health.state(now) for replica in self._members.values())
        return {state: found[state] for state in ReplicaState} | {
            ReplicaState.LEAVING: len(self._leaving)
        }

    def listed(self) -> list[tuple[Replica, ReplicaState]]:
        """Return all replicas with their states, in the order of discovery; leaving ones last."""
        now = self._clock()
        members = [(replica, replica.health.state(now)) for replica in self._members.values()]
        return members + [(replica, ReplicaState.LEAVING) for replica in self._leaving.values()]

    def _pick_another(self, adapter: str | None, tried: Collection[Replica]) -> Replica | None:
        left = [r for r in self._usable if r not in tried]
        left = left or [r for r in self._members.values() if r not in tried]
        if not left:
            return None
        balancer = self._balance([(replica, 1.0) for replica in left])
        return balancer.least_loaded() if adapter is None else balancer.for_adapter(adapter)[0]

    def _balance(self, weights: Sequence[tuple[Replica, float]]) -> Balancer[Replica]:
        policy = self._policy
        return Balancer(weights, load_factor=policy.load_factor, spill_above=policy.spill_above)

    def _on_return(self, replica: Replica) -> None:
        log.info("engine %s of %s serves", replica.url, self._model)
        self._refresh()
        self.on_return(replica)
        replica.has_served = True

    def _on_ejection(self, replica: Replica, fault: Fault) -> None:
        log.warning("engine %s of %s is ejected: %s", replica.url, self._model, fault)
        metrics.ENGINE_EJECTIONS.cell(self._model, fault).inc()
        self._refresh()

    def _refresh(self) -> None:
        """Update all states and weights."""
        now = self._clock()
        members = self._members.values()
        weights = [(r, weight) for r in members if (weight := r.health.weight(now))]
        self._usable = [replica for replica, _ in weights]
        self._balancer = self._balance(weights) if weights else None
        self._changes_at = min((r.health.next_change(now) for r in members), default=math.inf)
        self._publish()

    def _publish(self) -> None:
        for state, count in self.states().items():
            metrics.ENGINE_REPLICAS.cell(self._model, state).set(count)


class Probes:
    """Health probes of one model's replicas. Nothing runs after `close`.

    Each replica has its own task, so a slow one delays no other.
    """

    def __init__(
        self,
        replicas: Replicas,
        is_healthy: Callable[[str], Awaitable[bool]],
        *,
        every_s: float,
    ) -> None:
        self._replicas = replicas
        self._is_healthy = is_healthy
        self._every_s = every_s
        self._tasks: dict[Replica, asyncio.Task[None]] = {}
        self._closed = False

    def follow(self, members: Sequence[Replica]) -> None:
        """Probe exactly these replicas from now on."""
        if self._closed:
            return
        for replica in [r for r in self._tasks if r not in members]:
            self._tasks.pop(replica).cancel()
        for replica in members:
            if replica not in self._tasks:
                self._tasks[replica] = asyncio.create_task(
                    tasks.keep("engine probe", partial(self._watch, replica)),
                    name=f"probe {replica.url}",
                )

    async def any_healthy(self) -> bool:
        """Probe all replicas now and return whether any is healthy."""
        return any(await asyncio.gather(*map(self._probe, self._replicas.members)))

    async def close(self) -> None:
        """Stop all probes and wait for them to end."""
        self._closed = True
        running = list(self._tasks.values())
        self._tasks.clear()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _watch(self, replica: Replica) -> None:
        while True:
            await self._probe(replica)
            # Jitter, so that many API processes do not probe an engine at the same moment.
            await asyncio.sleep(self._every_s * random.uniform(0.8, 1.2))  # noqa: S311

    async def _probe(self, replica: Replica) -> bool:
        healthy = await self._is_healthy(replica.url)
        self._replicas.record_probe(replica, healthy)
        return healthy
