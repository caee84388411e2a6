"""Decides whether a request exceeds the rate limits of its key or project, and builds the error.

Usage is a leaky bucket that drains at a constant rate: one minute's allowance per minute. An idle
client may use a full minute's allowance at once, and then continues at the constant rate. `used`
may exceed the capacity if a response was longer than estimated or if other replicas admitted
requests at the same time. The excess, at most one minute of it, must drain first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

from service.config.limits import Limits, ceiling
from service.core.errors import NO_RETRY, Busy, RateLimited
from service.core.redis import Client, reply, text
from service.usage import keys

WINDOW_S = 60.0
MAX_DEBT = 2.0  # maximum `used` as a multiple of capacity, which bounds the wait to one minute
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
Headers = tuple[tuple[bytes, bytes], ...]
_NOUNS = {
    "requests": "requests per minute",
    "tokens": "tokens per minute",
    "too_large": "tokens per minute",
    "too_many_requests": "requests per minute",
    "too_many_concurrent_requests": "concurrent requests",
    "concurrent_requests": "concurrent requests",
    "concurrent_streams": "concurrent streams",
}


class Bucket:
    """One allowance, as known to this replica.

    `used` is the last value read from Redis, drained until `at_s`, plus `unsent`: local usage
    since then that Redis does not know yet.
    """

    __slots__ = ("at_s", "capacity", "capacity_text", "drain_per_s", "unsent", "used")

    def __init__(self, capacity: int, now_s: float) -> None:
        self.resize(capacity)
        self.used = 0.0
        self.at_s = now_s
        self.unsent = 0

    def resize(self, capacity: int) -> None:
        """Change the capacity. Current usage is kept."""
        self.capacity = capacity
        self.capacity_text = b"%d" % capacity
        self.drain_per_s = capacity / WINDOW_S

    def drain(self, now_s: float) -> float:
        """Drain the bucket to `now_s` and return the remaining usage."""
        elapsed_s = now_s - self.at_s
        if elapsed_s > 0:  # a clock set back must not refill the bucket
            used = self.used - elapsed_s * self.drain_per_s
            self.used = used if used > 0.0 else 0.0
            self.at_s = now_s
        return self.used

    def use(self, amount: int) -> None:
        """Consume `amount`. A negative amount is a refund."""
        self.unsent += amount
        used = self.used + amount
        if used > self.capacity:
            most = MAX_DEBT * self.capacity
            used = used if used < most else most
        self.used = used if used > 0.0 else 0.0

    def wait_s(self, amount: int) -> float:
        """Seconds until `amount` fits, as of the last drain."""
        return max(0.0, (self.used + amount - self.capacity) / self.drain_per_s)

    def learn(self, used: float, at_s: float, now_s: float) -> None:
        """Adopt the usage of all replicas as of `at_s`, plus the unsent local usage."""
        drained = max(0.0, used - max(0.0, now_s - at_s) * self.drain_per_s)
        self.used = max(0.0, drained + self.unsent)
        self.at_s = now_s

    def settle(self) -> int:
        """Return the unsent usage and mark it as sent."""
        amount, self.unsent = self.unsent, 0
        return amount


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
        self.waiting = 0  # requests of a project that wait for the limit on concurrent requests
        self.forget_elsewhere()

    def forget_elsewhere(self) -> None:
        """Discard the numbers reported by the other replicas."""
        self.requests_elsewhere = 0
        self.streams_elsewhere = 0

    def hold(self, limits: Limits, now_s: float) -> None:
        """Apply these limits to all further requests."""
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
        """Return whether the limit on concurrent requests allows one for this many answers."""
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


class CurrentUse(NamedTuple):
    """Current use of limits. What is not limited is not counted and is 0."""

    requests: int
    tokens: int
    concurrent_requests: int
    concurrent_streams: int


async def current_use(redis: Client, subject_id: str, limits: Limits, now_s: float) -> CurrentUse:
    """Return the use of a key or a project, as the replicas reported it within about a second."""
    pipe = redis.pipeline(transaction=False)
    pipe.hgetall(keys.limits(subject_id))
    pipe.smembers(keys.REPLICAS)
    found, replicas = await pipe.execute()
    spent = {text(name): float(value) for name, value in found.items()}
    in_flight = [
        await reply(redis.hget(keys.IN_FLIGHT + text(replica), subject_id)) for replica in replicas
    ]
    running = [[int(count) for count in row.split()] for row in in_flight if row]
    return CurrentUse(
        _left_in_bucket(spent, "requests", ceiling(limits.requests_per_minute), now_s),
        _left_in_bucket(spent, "tokens", ceiling(limits.tokens_per_minute), now_s),
        sum(requests for requests, _ in running),
        sum(streams for _, streams in running),
    )


def _left_in_bucket(
    spent: dict[str, float], dimension: str, capacity: int | None, now_s: float
) -> int:
    if capacity is None:
        return 0
    bucket = Bucket(capacity, spent.get(f"{dimension}_at_s", now_s))
    bucket.used = spent.get(f"{dimension}_used", 0.0)
    return round(bucket.drain(now_s))


class RequestCost(NamedTuple):
    """Cost of a request, in the units of the limits."""

    answers: int
    tokens: int


def duration(seconds: float) -> str:
    """Format a duration as OpenAI does: `12ms`, `1.5s`, `6m0s`."""
    ms = int(seconds * 1000 + 0.999)  # rounded up; math.ceil costs twice as much
    if ms < 1000:
        return f"{ms}ms"
    if ms < 60_000:
        return f"{ms / 1000:g}s"
    return f"{ms // 60_000}m{ms % 60_000 // 1000}s"


def rate_limit_headers(key: Subject, project: Subject) -> bytes:
    """The rate limit headers of the key or the project, whichever has less allowance left.

    They are lines of HTTP, the form in which most responses need them.
    """
    requests, tokens = key.requests, key.tokens
    if project.requests is not None:
        requests = _tighter(requests, project.requests)
    if project.tokens is not None:
        tokens = _tighter(tokens, project.tokens)
    if requests is None:
        return b"" if tokens is None else _of_tokens(tokens)
    if tokens is None:
        return _of_requests(requests)
    return _of_requests(requests) + _of_tokens(tokens)


def split_headers(lines: bytes) -> Headers:
    """Split lines into names and values."""
    return tuple(
        (name, value) for name, _, value in (line.partition(b": ") for line in lines.splitlines())
    )


def limit_error(
    subject: Subject, hit: Hit, cost: RequestCost, now_s: float, key: Subject, project: Subject
) -> RateLimited:
    """The error for a request that would exceed a limit of `subject` (the key or the project)."""
    for bucket in (key.requests, key.tokens, project.requests, project.tokens):
        if bucket is not None:
            bucket.drain(now_s)
    lines = rate_limit_headers(key, project)
    limit_headers = {name.decode(): value.decode() for name, value in split_headers(lines)}
    if hit.startswith("too_"):
        error = RateLimited(
            f"Request too large for your {subject.scope} '{subject.id}' on {_NOUNS[hit]}: "
            f"{_excess(subject, hit, cost)}; retrying the same request does not help.",
            headers={**limit_headers, **NO_RETRY},
        )
        del error.headers["retry-after"]
        return error
    limit_name = f"Rate limit reached for your {subject.scope} '{subject.id}' on {_NOUNS[hit]}"
    if hit.startswith("concurrent_"):
        text = f"{limit_name}: {_state(subject, hit, cost)}."
        return Busy(text, scope=subject.scope, headers=limit_headers)
    wait_s = _wait_s((key, project), cost)
    return RateLimited(
        f"{limit_name}: {_state(subject, hit, cost)}. Please try again in {duration(wait_s)}.",
        headers={
            **limit_headers,
            "retry-after": str(max(1, math.ceil(wait_s))),
            "retry-after-ms": str(max(1, math.ceil(wait_s * 1000))),
        },
    )


def _excess(subject: Subject, hit: Hit, cost: RequestCost) -> str:
    if hit == "too_large":
        limit = subject.tokens.capacity if subject.tokens else 0
        return (
            f"limit {limit}, this request alone may use {cost.tokens}. Send less, or ask for "
            "fewer tokens (max_tokens)"
        )
    most = subject.concurrent_requests
    if hit == "too_many_requests":
        most = subject.requests.capacity if subject.requests else 0
    return (
        f"limit {most}, this request alone counts as {cost.answers}, one for each answer. Ask "
        "for fewer answers (n), or send fewer prompts"
    )


def _state(subject: Subject, hit: Hit, cost: RequestCost) -> str:
    if hit == "requests" and subject.requests:
        bucket, requested = subject.requests, cost.answers
        return f"limit {bucket.capacity}, used {_shown(bucket)}, requested {requested}"
    if hit == "tokens" and subject.tokens:
        bucket, requested = subject.tokens, cost.tokens
        return f"limit {bucket.capacity}, used {_shown(bucket)}, requested {requested}"
    if hit == "concurrent_streams":
        return f"limit {subject.concurrent_streams}"
    return f"limit {subject.concurrent_requests}"


def _shown(bucket: Bucket) -> int:
    return math.ceil(bucket.used)


def _wait_s(subjects: Iterable[Subject], cost: RequestCost) -> float:
    """Seconds until the request fits all buckets."""
    wait_s = 0.0
    for subject in subjects:
        if subject.requests is not None:
            wait_s = max(wait_s, subject.requests.wait_s(cost.answers))
        if subject.tokens is not None:
            wait_s = max(wait_s, subject.tokens.wait_s(cost.tokens))
    return wait_s


def _tighter(one: Bucket | None, other: Bucket) -> Bucket:
    if one is not None and one.capacity - one.used <= other.capacity - other.used:
        return one
    return other


# Duplicated for speed: this runs on every limited request.
def _of_requests(bucket: Bucket) -> bytes:
    used = bucket.used
    left = bucket.capacity - used
    return (
        b"x-ratelimit-limit-requests: %b\r\n"
        b"x-ratelimit-remaining-requests: %d\r\n"
        b"x-ratelimit-reset-requests: %b\r\n"
    ) % (
        bucket.capacity_text,
        left if left > 0 else 0,
        duration(used / bucket.drain_per_s).encode(),
    )


def _of_tokens(bucket: Bucket) -> bytes:
    used = bucket.used
    left = bucket.capacity - used
    return (
        b"x-ratelimit-limit-tokens: %b\r\n"
        b"x-ratelimit-remaining-tokens: %d\r\n"
        b"x-ratelimit-reset-tokens: %b\r\n"
    ) % (
        bucket.capacity_text,
        left if left > 0 else 0,
        duration(used / bucket.drain_per_s).encode(),
    )
