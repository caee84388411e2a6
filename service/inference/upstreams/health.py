"""Health state of a replica: whether it takes requests, and how large its share is.

    starting ──sign of life──► warming ──some seconds──► serving
                                  ▲                        │
                                  └── ejected ◄── faults ──┘

Pure code; the caller passes the time. A replica that refuses connections is ejected at once. A
replica whose connections break or time out is ejected after a few such failures in a row, as is one
whose health check fails. A complete response is never a fault, whatever its status: a caller's
request may be the cause and would fail on every replica. An ejected replica returns when a probe
succeeds, but not before its backoff ends. Its share then grows gradually, so that its adapters
return one after another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from service.config import Settings
from service.inference.upstreams.fair_queue import MAX_WAITING


@dataclass(frozen=True)
class Policy:
    """When a replica is ejected, how it returns, and how much of the load it gets."""

    probe_every_s: float = 2.0
    probe_timeout_s: float = 5.0
    max_failed_probes: int = 3
    """Consecutive failed probes. A single one may only mean that the engine is busy."""
    max_failures: int = 3
    """Consecutive requests that were sent but got no complete response."""
    backoff_s: float = 1.0
    """Minimum ejection time in seconds. Doubles while the replica keeps failing."""
    max_backoff_s: float = 30.0
    warmup_s: float = 10.0
    """Seconds until a new or returning replica has its full share."""
    load_factor: float = 1.25
    """Maximum load of one replica, as a multiple of its share of all requests in flight."""
    spill_above: int = 8
    """Requests in flight that a replica can always have, regardless of the others' load."""
    dns_every_s: float = 5.0
    requests_at_once: int = 256
    """Answers that all API processes let an engine work on at once. Further requests wait."""
    max_waiting: int = MAX_WAITING
    """Maximum number of requests that wait for the engines of a model in this process."""
    start_wait_s: float = 0.0
    """How long they wait while no engine serves. 0: they are sent to engines in doubt at once."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Policy:
        """Create the policy from the operator's settings."""
        return cls(
            probe_every_s=settings.upstream_probe_every_s,
            requests_at_once=settings.engine_requests_at_once,
            start_wait_s=settings.engine_start_wait_s,
        )


_STEPS = 10  # steps in which the share grows


class ReplicaState(StrEnum):
    """State of a replica."""

    STARTING = "starting"
    """No sign of life yet."""
    WARMING = "warming"
    SERVING = "serving"
    EJECTED = "ejected"
    LEAVING = "leaving"
    """No longer in DNS; its last requests are still running."""


class Fault(StrEnum):
    """Kind of failure of a replica."""

    UNREACHABLE = "unreachable"
    """Connection refused or not established."""
    LOST = "lost"
    """Connection lost before the response was complete."""
    SILENT = "silent"
    GARBAGE = "garbage"
    UNHEALTHY = "unhealthy"
    """Health check failed."""


class Health:
    """Health of one replica. Methods that can change the state return whether they did."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._state = ReplicaState.STARTING
        self._returned_at = -math.inf
        self._ejected_until = -math.inf
        self._ejections = 0
        self._failures = 0
        self._failed_probes = 0
        self.term = 0
        """Number of ejections. Results of requests from an earlier term are ignored."""

    def state(self, now: float) -> ReplicaState:
        """Return the state at the given time."""
        if self._state is ReplicaState.WARMING and now >= self._grown_at(_STEPS):
            self._state = ReplicaState.SERVING
        return self._state

    @property
    def in_doubt(self) -> bool:
        """Whether the latest observation of the replica was a failure."""
        return bool(self._failures or self._failed_probes)

    def weight(self, now: float) -> float:
        """Return the share of load: 0 for none, 1 for the full share."""
        state = self.state(now)
        if state is ReplicaState.WARMING:
            return self._step(now) / _STEPS
        return 1.0 if state is ReplicaState.SERVING else 0.0

    def next_change(self, now: float) -> float:
        """Return when the weight or state changes without an event; infinity if it does not."""
        if self.state(now) is not ReplicaState.WARMING:
            return math.inf
        return self._grown_at(self._step(now))

    def record_refusal(self, now: float) -> bool:
        """Record a failure to connect."""
        if self._state in {ReplicaState.STARTING, ReplicaState.EJECTED}:
            return False
        self._eject(now)
        return True

    def record_failure(self, now: float, *, spare: bool) -> bool:
        """Record a request that was sent but got no complete response.

        `spare` says whether another replica can take over. Without one, ejecting this replica
        would gain nothing.
        """
        self._failures += 1
        if self._state in {ReplicaState.STARTING, ReplicaState.EJECTED} or not spare:
            return False
        if self._failures < self._policy.max_failures:
            return False
        self._eject(now)
        return True

    def record_success(self, now: float) -> bool:
        """Record a complete response."""
        if self.in_doubt:
            self._reset_failures()
        if self._state in {ReplicaState.WARMING, ReplicaState.SERVING}:
            return False
        self._return(now)
        return True

    def record_probe(self, healthy: bool, now: float) -> bool:
        """Record the result of a health check."""
        if not healthy:
            self._failed_probes += 1
            if self._state in {ReplicaState.STARTING, ReplicaState.EJECTED}:
                return False
            if self._failed_probes < self._policy.max_failed_probes:
                return False
            self._eject(now)
            return True
        self._failed_probes = 0
        if self._state in {ReplicaState.WARMING, ReplicaState.SERVING} or now < self._ejected_until:
            return False
        self._return(now)
        return True

    def _grown_at(self, step: int) -> float:
        return self._returned_at + self._policy.warmup_s * step / _STEPS

    def _step(self, now: float) -> int:
        share = (now - self._returned_at) / self._policy.warmup_s
        # The epsilon keeps a time returned by `next_change` from falling short of its step.
        return min(_STEPS, max(0, math.floor(share * _STEPS + 1e-9)) + 1)

    def _eject(self, now: float) -> None:
        policy = self._policy
        if now - self._returned_at > policy.max_backoff_s:
            self._ejections = 0  # it was healthy for long enough
        backoff_s = min(policy.max_backoff_s, policy.backoff_s * 2.0**self._ejections)
        self._ejections = min(self._ejections + 1, 32)
        self._ejected_until = now + backoff_s
        self._state = ReplicaState.EJECTED
        self.term += 1
        self._reset_failures()

    def _return(self, now: float) -> None:
        self._state = ReplicaState.WARMING
        self._returned_at = now
        self._reset_failures()

    def _reset_failures(self) -> None:
        self._failures = self._failed_probes = 0
