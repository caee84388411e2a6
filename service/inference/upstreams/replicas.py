"""The replicas of one model: state, selection, and reporting of outcomes."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from service.core import metrics
from service.inference.upstreams.balancer import Balancer
from service.inference.upstreams.health import Fault, Health, ReplicaState
from service.inference.upstreams.policy import Policy

log = logging.getLogger(__name__)


class Replica:
    """One engine server and this process's view of it."""

    __slots__ = ("health", "in_flight", "url")

    def __init__(self, url: str, policy: Policy) -> None:
        self.url = url
        self.in_flight = 0
        self.health = Health(policy)


class Replicas:
    """All replicas of one model. Not thread-safe: use them in one event loop.

    Call `pick` and `take`; then one of `refused`, `failed` and `succeeded` with the term that
    `take` returned (or none, if the caller disconnected); then `release` in any case.
    """

    def __init__(
        self,
        model: str,
        policy: Policy,
        *,
        others: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the set. If `others` is true, engines of another model can take its requests."""
        self._model = model
        self._policy = policy
        self._others = others
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
        replica, spilled = self._balancer.for_adapter(adapter)
        if spilled:
            metrics.ENGINE_SPILLED_REQUESTS.cell(self._model).inc()
        return replica

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

    def refused(self, replica: Replica, term: int) -> None:
        """Record a failure to connect."""
        if term == replica.health.term and replica.health.refused(self._clock()):
            self._ejected(replica, Fault.UNREACHABLE)

    def failed(self, replica: Replica, term: int, fault: Fault) -> None:
        """Record a failure after the request was sent."""
        spare = self._others or any(r is not replica for r in self._usable)
        if term == replica.health.term and replica.health.failed(self._clock(), spare=spare):
            self._ejected(replica, fault)

    def succeeded(self, replica: Replica, term: int) -> None:
        """Record a complete response."""
        if term == replica.health.term and replica.health.succeeded(self._clock()):
            self._returned(replica)

    def probed(self, replica: Replica, healthy: bool) -> None:
        """Record the result of a health check."""
        if not replica.health.probed(healthy, self._clock()):
            if self._changes_at <= self._clock():
                self._refresh()  # keeps the metrics correct without requests
        elif healthy:
            self._returned(replica)
        else:
            self._ejected(replica, Fault.UNHEALTHY)

    def states(self) -> dict[ReplicaState, int]:
        """Count the replicas in each state."""
        now = self._clock()
        found = Counter(replica.health.state(now) for replica in self._members.values())
        return {state: found[state] for state in ReplicaState} | {
            ReplicaState.LEAVING: len(self._leaving)
        }

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

    def _returned(self, replica: Replica) -> None:
        log.info("engine %s of %s serves", replica.url, self._model)
        self._refresh()

    def _ejected(self, replica: Replica, fault: Fault) -> None:
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
