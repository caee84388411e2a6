"""The newest state of the chats next to a paced training, as the worker last reported it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from service.training.contract.protocol import TrafficCommand

_FRESH_S = 5.0  # the worker reports at least once per second


class Traffic:
    """State of the chats. One thread writes it, and the training reads it and waits for changes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._newest: TrafficCommand | None = None
        self._at = 0.0
        self._count = 0

    def note(self, command: TrafficCommand) -> None:
        """Replace the state."""
        with self._changed:
            self._newest, self._at = command, self._clock()
            self._count += 1
            self._changed.notify_all()

    @property
    def count(self) -> int:
        """Number of reports so far."""
        return self._count

    @property
    def newest(self) -> TrafficCommand | None:
        """The newest report, or None if none arrived in the last seconds."""
        with self._changed:
            return self._newest if self._clock() - self._at <= _FRESH_S else None

    def wait(self, seconds: float) -> None:
        """Wait for the next report, at most for this time."""
        with self._changed:
            self._changed.wait(seconds)
