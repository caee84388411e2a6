"""Retry policy for requests.

A request is retried if it certainly never arrived, if it was rate limited (429), or, only if it
is safe to repeat, if it may have arrived (408, 5xx, a broken connection). The server's
`x-should-retry` header overrides these rules, and `retry-after` sets the delay.
"""

from __future__ import annotations

import random
from typing import cast

from finetuned._http import Answer, Request, retry_after_s
from finetuned._steps import Flow, Sleep, Try
from finetuned.errors import ConnectionFailed, NeverSent

_AMBIGUOUS = frozenset({408, 500, 502, 503, 504})
_FIRST_S, _MAX_S = 0.25, 8.0
_DOUBLINGS = 5  # from the first delay to the longest
MAX_RETRY_AFTER_S = 60.0


def backoff_s(tries: int) -> float:
    """Return the delay after `tries` attempts, with jitter so that clients do not synchronize."""
    doubled = _FIRST_S * 2.0 ** min(tries, _DOUBLINGS)
    return float(min(_MAX_S, doubled) * random.uniform(0.5, 1.0))  # noqa: S311


def retrying(request: Request, max_retries: int) -> Flow[Answer]:
    """Send a request with retries and return the last response."""
    tries = 0
    while True:
        try:
            answer = cast("Answer", (yield Try(request)))
        except ConnectionFailed as e:
            if tries >= max_retries or not (request.may_repeat or isinstance(e, NeverSent)):
                raise
            wait_s = backoff_s(tries)
        else:
            requested_s = retry_after_s(answer.headers)
            if tries >= max_retries or not helps(request, answer, requested_s):
                return answer
            wait_s = backoff_s(tries) if requested_s is None else requested_s + backoff_s(0) / 4
        tries += 1
        yield Sleep(wait_s)


def helps(request: Request, answer: Answer, requested_s: float | None) -> bool:
    """Return whether the same request may succeed if it is retried after `requested_s` seconds."""
    if answer.ok or (requested_s or 0) > MAX_RETRY_AFTER_S:
        return False
    should_retry = answer.headers.get("x-should-retry")
    if should_retry == "false":
        return False
    if answer.status == 429:
        return True
    return request.may_repeat and (answer.status in _AMBIGUOUS or should_retry == "true")
