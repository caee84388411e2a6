"""Whether one replica may take requests, and how large a share. Pure; the time is given.

    starting ──sign of life──► warming ──some seconds──► serving
                                  ▲                        │
                                  └── ejected ◄── faults ──┘

A replica that takes no connection is ejected at once. One whose connections break or stay silent is
ejected after a few in a row, and so is one whose health check fails. A whole answer is never a
fault, whatever its status: what fails may be a caller's request, and would on every replica. A
replica comes back when a probe succeeds, not before its backoff, and then with a share that grows:
its adapters return to it one after another.
"""

from __future__ import annotations

import math
from enum import StrEnum

from service.inference.upstreams.policy import Policy

_STEPS = 10  # of the share while it grows


class State(StrEnum):
    """Where a replica stands."""

    STARTING = "starting"
    """It has given no sign of life yet."""
    WARMING = "warming"
    SERVING = "serving"
    EJECTED = "ejected"
    LEAVING = "leaving"
    """No longer named by DNS; its last requests run."""


class Fault(StrEnum):
    """What a replica did wrong."""

    UNREACHABLE = "unreachable"
    """It takes no connection."""
    LOST = "lost"
    """The connection broke before the answer was whole."""
    SILENT = "silent"
    GARBAGE = "garbage"
    UNHEALTHY = "unhealthy"
    """Its health check fails."""


class Health:
    """One replica's health. Methods that may change the state say whether they did."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._state = State.STARTING
        self._returned_at = -math.inf
        self._ejected_until = -math.inf
        self._ejections = 0
        self._failures = 0
        self._failed_probes = 0
        self.term = 0
        """Counts ejections: what was asked in an earlier term says nothing about this one."""

    def state(self, now: float) -> State:
        """The state at this time."""
        if self._state is State.WARMING and now >= self._grown_at(_STEPS):
            self._state = State.SERVING
        return self._state

    @property
    def in_doubt(self) -> bool:
        """Whether the last that was seen of it was a failure."""
        return bool(self._failures or self._failed_probes)

    def weight(self, now: float) -> float:
        """The share that it gets: 0 if none, 1 if the whole."""
        state = self.state(now)
        if state is State.WARMING:
            return self._step(now) / _STEPS
        return 1.0 if state is State.SERVING else 0.0

    def next_change(self, now: float) -> float:
        """When weight or state change by themselves; infinity if they do not."""
        if self.state(now) is not State.WARMING:
            return math.inf
        return self._grown_at(self._step(now))

    def refused(self, now: float) -> bool:
        """It took no connection."""
        if self._state in {State.STARTING, State.EJECTED}:
            return False
        self._eject(now)
        return True

    def failed(self, now: float, *, spare: bool) -> bool:
        """A request was sent, and no whole answer came.

        `spare` says whether another replica could take over. Without one nothing would be
        gained by leaving this one out.
        """
        self._failures += 1
        if self._state in {State.STARTING, State.EJECTED} or not spare:
            return False
        if self._failures < self._policy.max_failures:
            return False
        self._eject(now)
        return True

    def succeeded(self, now: float) -> bool:
        """An answer came whole."""
        if self.in_doubt:
            self._forgive()
        if self._state in {State.WARMING, State.SERVING}:
            return False
        self._return(now)
        return True

    def probed(self, healthy: bool, now: float) -> bool:
        """Its health check answered, or did not."""
        if not healthy:
            self._failed_probes += 1
            if self._state in {State.STARTING, State.EJECTED}:
                return False
            if self._failed_probes < self._policy.max_failed_probes:
                return False
            self._eject(now)
            return True
        self._failed_probes = 0
        if self._state in {State.WARMING, State.SERVING} or now < self._ejected_until:
            return False
        self._return(now)
        return True

    def _grown_at(self, step: int) -> float:
        return self._returned_at + self._policy.warmup_s * step / _STEPS

    def _step(self, now: float) -> int:
        share = (now - self._returned_at) / self._policy.warmup_s
        # The small number keeps a time that `next_change` named from falling short of its step.
        return min(_STEPS, max(0, math.floor(share * _STEPS + 1e-9)) + 1)

    def _eject(self, now: float) -> None:
        policy = self._policy
        if now - self._returned_at > policy.max_backoff_s:
            self._ejections = 0  # it has been well for long enough
        backoff_s = min(policy.max_backoff_s, policy.backoff_s * 2.0**self._ejections)
        self._ejections = min(self._ejections + 1, 32)
        self._ejected_until = now + backoff_s
        self._state = State.EJECTED
        self.term += 1
        self._forgive()

    def _return(self, now: float) -> None:
        self._state = State.WARMING
        self._returned_at = now
        self._forgive()

    def _forgive(self) -> None:
        self._failures = self._failed_probes = 0
