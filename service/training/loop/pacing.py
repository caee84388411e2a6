"""Decides when a training that shares its device with chats computes, and when it rests.

The controller changes only when the next layer is computed, never what, so the losses are those of
a training that does not rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from service.training.contract.child_process import StopFlag, Traffic
from service.training.contract.protocol import TrafficCommand

LEAST_SHARE: Final = 0.1
"""Part of the time that a training computes even if chats exceed their budget."""
# The share falls quickly and grows slowly, so that most chats see a training that takes little.
_FALL, _GROWTH = 0.5, 0.05
_EVERY_S: Final = 1.0
# The share grows only while the latency is clearly below the budget.
_COMFORT: Final = 0.8
# A shorter rest costs more than it gives; a longer one would make a training appear dead.
_LEAST_REST_S, _LONGEST_REST_S = 0.02, 10.0
_STOP_POLL_S: Final = 0.25


class Share:
    """Part of the time that a training may compute, from 0 to 1.

    It is 1 while no chat is in flight. While chats are in flight, it starts at `LEAST_SHARE`, grows
    by 0.05 per second while their latency is below 80% of the budget, and halves each second while
    it is above the budget. Without current reports, it is `LEAST_SHARE`.
    """

    def __init__(self, budget_ms: float) -> None:
        self._budget_ms = budget_ms
        self._busy = LEAST_SHARE
        self._changed_at = float("-inf")

    def at(self, now_s: float, newest: TrafficCommand | None) -> float:
        """Return the share at a time for the newest report of the chats."""
        if newest is None:
            return LEAST_SHARE
        if newest.in_flight == 0:
            return 1.0
        if newest.p95_ms is not None and now_s - self._changed_at >= _EVERY_S:
            self._changed_at = now_s
            self._learn(newest.p95_ms)
        return self._busy

    def _learn(self, p95_ms: float) -> None:
        if p95_ms > self._budget_ms:
            self._busy = max(LEAST_SHARE, self._busy * _FALL)
        elif p95_ms <= _COMFORT * self._budget_ms:
            self._busy = min(1.0, self._busy + _GROWTH)


class Pacer:
    """Lets a training rest at its pause points, so that it computes only its share of the time.

    `finish` waits until the device has done its pending work; without it, a GPU would compute
    while the training rests.
    """

    def __init__(
        self,
        budget_ms: float,
        traffic: Traffic,
        flag: StopFlag,
        *,
        finish: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = Share(budget_ms)
        self._traffic = traffic
        self._flag = flag
        self._finish = finish
        self._clock = clock
        self._working_since = clock()
        self._is_computing = False
        self._rested_s = 0.0
        self.total_rested_s = 0.0

    def pause(self) -> None:
        """Rest if it is time to. Call it before each part of the work."""
        self._is_computing = True
        share = self._share.at(self._clock(), self._traffic.newest)
        if share < 1:
            self._finish()
            began = self._clock()
            rest_s = min((began - self._working_since) * (1 / share - 1), _LONGEST_REST_S)
            if rest_s < _LEAST_REST_S:
                return  # the work since the last rest counts at the next pause point
            self._rest(began + rest_s)
            rested_s = self._clock() - began
            self._rested_s += rested_s
            self.total_rested_s += rested_s
        self._working_since = self._clock()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let the training wait for its other processes inside the block.

        Their rests do not count as work of this process. Otherwise it would rest nine times as long
        in turn, and the others would wait for it.
        """
        if not self._is_computing:  # the model is being loaded
            yield
            return
        self.pause()
        yield
        if self._share.at(self._clock(), self._traffic.newest) < 1:
            self._finish()
        self._working_since = self._clock()

    def take_rested_s(self) -> float:
        """Return the seconds of rest since the last call."""
        rested_s, self._rested_s = self._rested_s, 0.0
        return rested_s

    def _rest(self, until_s: float) -> None:
        """Rest until then, until no chat is in flight, or until a stop command."""
        while (left_s := until_s - self._clock()) > 0 and not self._flag.is_set():
            newest = self._traffic.newest
            if newest is not None and newest.in_flight == 0:
                return
            self._traffic.wait(min(left_s, _STOP_POLL_S))
