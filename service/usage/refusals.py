"""Rate limit responses: `x-ratelimit-*` headers and 429 errors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from service.core.errors import NO_RETRY, Busy, RateLimited
from service.usage.buckets import Bucket
from service.usage.subjects import Hit, Subject

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


class RequestCost(NamedTuple):
    """The usage that a request asks for."""

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


def header_lines(key: Subject, project: Subject) -> bytes:
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


def headers(lines: bytes) -> Headers:
    """Split lines into names and values."""
    return tuple(
        (name, value) for name, _, value in (line.partition(b": ") for line in lines.splitlines())
    )


def refuse(
    subject: Subject, hit: Hit, cost: RequestCost, now_s: float, key: Subject, project: Subject
) -> RateLimited:
    """The error for a request that would exceed a limit of `subject` (the key or the project)."""
    for bucket in (key.requests, key.tokens, project.requests, project.tokens):
        if bucket is not None:
            bucket.drain(now_s)
    lines = header_lines(key, project)
    limit_headers = {name.decode(): value.decode() for name, value in headers(lines)}
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
