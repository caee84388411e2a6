"""Retry policy for requests, and how long methods wait for work of the server.

A request is retried if it certainly never arrived, if it was rate limited (429), or, only if it
is safe to repeat, if it may have arrived (408, 5xx, a broken connection). The server's
`x-should-retry` header overrides these rules, and `retry-after` sets the delay.
"""

from __future__ import annotations

import random
import time

import httpx2

from finetuned._request import Request, retry_after_s
from finetuned.errors import (
    ConnectionFailed,
    FinetunedError,
    NeverSent,
    RateLimited,
    ServerError,
    TimedOut,
)

_AMBIGUOUS = frozenset({408, 500, 502, 503, 504})
_FIRST_S, _MAX_S = 0.25, 8.0
_DOUBLINGS = 5  # from the first delay to the longest
MAX_RETRY_AFTER_S = 60.0
MAX_POLL_S = 30
"""How long the server may wait for its work before it answers a request."""
ANSWER_S = 60.0
"""How long an answer may take beyond that, unless the client has a `timeout`."""
PATIENCE_S = 300.0
"""How long the server may be unreachable while a method waits for its work."""
FINAL = frozenset(
    {
        *("succeeded", "completed", "failed", "cancelled", "canceled", "expired", "skipped"),
        *("processed", "error"),  # of files
    }
)
"""Statuses that no object leaves."""


def backoff_s(tries: int) -> float:
    """Return the delay after `tries` attempts, with jitter so that clients do not synchronize."""
    doubled = _FIRST_S * 2.0 ** min(tries, _DOUBLINGS)
    return float(min(_MAX_S, doubled) * random.uniform(0.5, 1.0))  # noqa: S311


def delay_s(
    request: Request, outcome: httpx2.Response | ConnectionFailed, tries: int, max_retries: int
) -> float | None:
    """Return the seconds after which to send a request again, or None if it is not retried."""
    if tries >= max_retries:
        return None
    if isinstance(outcome, ConnectionFailed):
        again = request.may_repeat or isinstance(outcome, NeverSent)
        return backoff_s(tries) if again else None
    requested_s = retry_after_s(outcome.headers)
    if not helps(request, outcome, requested_s):
        return None
    return backoff_s(tries) if requested_s is None else requested_s + backoff_s(0) / 4


def helps(request: Request, response: httpx2.Response, requested_s: float | None) -> bool:
    """Return whether the same request may succeed if it is retried after `requested_s` seconds."""
    if response.status_code < 300 or (requested_s or 0) > MAX_RETRY_AFTER_S:
        return False
    should_retry = response.headers.get("x-should-retry")
    if should_retry == "false":
        return False
    if response.status_code == 429:
        return True
    return request.may_repeat and (response.status_code in _AMBIGUOUS or should_retry == "true")


class Deadline:
    """Time limit for work of the server; None means no limit."""

    def __init__(self, seconds: float | None, what: str) -> None:
        self._seconds = seconds
        self._what = what
        self._end = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Check the time limit. Raises TimedOut if it has passed."""
        if self._end is not None and time.monotonic() >= self._end:
            raise TimedOut(
                f"{self._what} did not finish within {self._seconds:g} s.",
                next_step="It continues on the server. Check again later.",
            )

    def left_s(self, most: int) -> int:
        """Return the whole seconds that are left, up to `most`."""
        if self._end is None:
            return most
        return max(0, min(most, int(self._end - time.monotonic())))


class Patience:
    """Decides whether a method keeps trying while the server is unreachable."""

    def __init__(self, seconds: float = PATIENCE_S) -> None:
        self._seconds = seconds
        self._tries = 0
        self._heard_s = time.monotonic()

    def heard(self) -> None:
        """Note a response."""
        self._tries, self._heard_s = 0, time.monotonic()

    def delay_s(self, error: FinetunedError) -> float:
        """Return the delay before the next attempt. Raises the error if it is permanent."""
        temporary = isinstance(error, (ConnectionFailed, ServerError, RateLimited))
        late = time.monotonic() - self._heard_s > self._seconds
        if not temporary or error.status == 500 or late:
            raise error
        self._tries += 1
        return error.retry_after_s or backoff_s(self._tries - 1)
