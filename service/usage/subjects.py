"""Subjects of rate limits: a key or a project, with its current usage."""

from __future__ import annotations

from typing import Literal

from service.config.limits import Limits, ceiling
from service.usage.buckets import Bucket

Scope = Literal["key", "project"]
Hit = Literal[
    "requests",
    "tokens",
    "too_large",
    "too_many_requests",
    "too_many_concurrent_requests",
    "concurrent_requests",
    "concurrent_streams",
]


class Subject:
    """A key or a project, with its buckets and its requests in flight.

    `in_flight` counts the requests that this replica is answering, limited or not, so that a limit
    set later includes requests already running. `*_elsewhere` holds the numbers last reported by
    the other replicas. A request for several answers counts once per answer, like its cost to the
    engine.
    """

    __slots__ = (
        "concurrent_requests",
        "concurrent_streams",
        "id",
        "in_flight",
        "is_limited",
        "requests",
        "requests_elsewhere",
        "scope",
        "streams",
        "streams_elsewhere",
        "tokens",
        "touched_s",
        "waiting",
    )

    def __init__(self, subject_id: str, scope: Scope) -> None:
        self.id = subject_id
        self.scope: Scope = scope
        self.is_limited = False
        self.requests: Bucket | None = None
        self.tokens: Bucket | None = None
        self.concurrent_requests: int | None = None
        self.concurrent_streams: int | None = None
        self.in_flight = 0
        self.streams = 0
        self.touched_s = 0.0  # time of the last request
        self.waiting = 0  # requests that wait for a place, of a project
        self.forget_elsewhere()

    def forget_elsewhere(self) -> None:
        """Discard the numbers reported by the other replicas."""
        self.requests_elsewhere = 0
        self.streams_elsewhere = 0

    def hold(self, limits: Limits, now_s: float) -> None:
        """Apply these limits from now on."""
        self.requests = _resized(self.requests, ceiling(limits.requests_per_minute), now_s)
        self.tokens = _resized(self.tokens, ceiling(limits.tokens_per_minute), now_s)
        self.concurrent_requests = ceiling(limits.concurrent_requests)
        self.concurrent_streams = ceiling(limits.concurrent_streams)
        self.is_limited = not (
            self.requests is None
            and self.tokens is None
            and self.concurrent_requests is None
            and self.concurrent_streams is None
        )
        if not self.is_limited:
            self.forget_elsewhere()

    def has_place(self, answers: int) -> bool:
        """Whether the limit on concurrent requests allows one for this many answers."""
        most = self.concurrent_requests
        return most is None or self.in_flight + self.requests_elsewhere + answers <= most

    def refusal(self, answers: int, tokens: int, now_s: float, *, streamed: bool) -> Hit | None:
        """The limit that another request would exceed, or None. Consumes nothing."""
        self.touched_s = now_s
        allowance = self.tokens
        if allowance is not None and tokens > allowance.capacity:
            return "too_large"
        bucket = self.requests
        if bucket is not None and answers > bucket.capacity:
            return "too_many_requests"
        most = self.concurrent_requests
        if most is not None and self.in_flight + self.requests_elsewhere + answers > most:
            return "concurrent_requests" if answers <= most else "too_many_concurrent_requests"
        if streamed:
            most = self.concurrent_streams
            if most is not None and self.streams + self.streams_elsewhere >= most:
                return "concurrent_streams"
        if bucket is not None and bucket.drain(now_s) + answers > bucket.capacity:
            return "requests"
        if allowance is not None and allowance.drain(now_s) + tokens > allowance.capacity:
            return "tokens"
        return None

    def take(self, answers: int, tokens: int) -> None:
        """Consume the allowance for one request with this many answers and tokens."""
        if self.requests is not None:
            self.requests.use(answers)
        if self.tokens is not None:
            self.tokens.use(tokens)


def _resized(bucket: Bucket | None, capacity: int | None, now_s: float) -> Bucket | None:
    if capacity is None:
        return None
    if bucket is None:
        return Bucket(capacity, now_s)
    bucket.resize(capacity)
    return bucket
