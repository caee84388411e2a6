"""The pace at which a queue moves, from which refused callers learn when to try again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

_WEIGHT: Final = 0.2  # of the newest interval in the average
_LEAST_S: Final = 1.0
_MOST_S: Final = 40.0  # with the spread, at most 60 s, beyond which OpenAI's SDKs do not wait


class Pace:
    """How long one request of a queue takes, on average, until it gets its place."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._moved_s = clock()
        self._each_s = 0.0

    def begin(self) -> None:
        """Note that a request waits where none did."""
        self._moved_s = self._clock()

    def move(self) -> None:
        """Note that a request got its place."""
        now_s = self._clock()
        each_s, self._moved_s = now_s - self._moved_s, now_s
        self._each_s += _WEIGHT * (each_s - self._each_s) if self._each_s else each_s

    def retry_headers(self, waiting: int) -> dict[str, str]:
        """Return the headers of a refusal while this many requests wait.

        Each refusal names another time around the expected one, so that callers do not all come
        back at once.
        """
        expected_s = min(max(waiting * self._each_s, _LEAST_S), _MOST_S)
        after_s = expected_s * random.uniform(0.5, 1.5)  # noqa: S311
        return {
            "retry-after": str(max(1, round(after_s))),
            "retry-after-ms": str(int(after_s * 1000)),
        }
