"""The current time on the clock of Redis, which all hosts share.

What one host writes, such as an expiration time, another compares with the current time. So all
processes use one clock: that of their host, corrected by how far it is from that of Redis, which
redis/time_sync.py measures. Reading the clock of Redis each time would take a round trip.
"""

from __future__ import annotations

import time
from typing import ClassVar


class _Difference:
    """The difference between the clock of Redis and that of this host, in seconds."""

    seconds: ClassVar[float] = 0.0


def now() -> float:
    """Return the current UTC time in seconds."""
    return time.time() + _Difference.seconds


def now_s() -> int:
    """Return the current UTC time in whole seconds, the unit of all times in the API."""
    return int(now())


def difference_s() -> float:
    """Return by how many seconds the clock of Redis is ahead of this host's."""
    return _Difference.seconds


def set_difference(seconds: float) -> None:
    """Set by how many seconds the clock of Redis is ahead of this host's."""
    _Difference.seconds = seconds
