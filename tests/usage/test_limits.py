"""Tests of rate limits: admission, headers, buckets, current use and default settings."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.config import Settings
from service.config.limits import NO_LIMITS, Limits, ProjectLimits
from service.core.errors import RateLimited
from service.usage.limits import MAX_DEBT, Bucket, CurrentUse, current_use, duration
from tests.usage.conftest import NOON, caller, served


def told(headers) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


async def test_without_limits_all_requests_are_admitted(replica):
    one = replica()
    for _ in range(100):
        assert one.serve(caller()).headers == ()


@pytest.mark.parametrize("whose", ["key", "project"])
async def test_requests_per_minute(replica, clock, whose):
    one = replica()
    limits: dict[str, Any] = {"requests_per_minute": 3}
    who = caller(key_limits=limits) if whose == "key" else caller(**limits)
    for left in (2, 1, 0):
        assert told(one.serve(who).headers) == {
            "x-ratelimit-limit-requests": "3",
            "x-ratelimit-remaining-requests": str(left),
            "x-ratelimit-reset-requests": {2: "20s", 1: "40s", 0: "1m0s"}[left],
        }
    with pytest.raises(RateLimited, match=rf"{whose} .* requests per minute: limit 3") as refused:
        one.admit(who)
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.headers["retry-after"] == "20"
    assert refused.value.headers["retry-after-ms"] == "20000"
    assert refused.value.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in refused.value.headers

    clock.turn(19.9)
    with pytest.raises(RateLimited) as refused:
        one.admit(who)
    assert refused.value.headers["retry-after-ms"] == "100"
    clock.turn(0.1)
    one.serve(who)  # a third of a minute restores one of three
    with pytest.raises(RateLimited):
        one.admit(who)


async def test_headers_match_openais_example(replica):
    """With 60 requests and 150000 tokens per minute, and one request used: full after a second."""
    headers = told(
        replica().serve(caller(requests_per_minute=60, tokens_per_minute=150_000)).headers
    )
    assert headers["x-ratelimit-limit-requests"] == "60"
    assert headers["x-ratelimit-remaining-requests"] == "59"
    assert headers["x-ratelimit-reset-requests"] == "1s"
    assert headers["x-ratelimit-remaining-tokens"] == "149990"
    assert headers["x-ratelimit-reset-tokens"] == "4ms"


async def test_a_refused_request_consumes_nothing(replica, clock):
    """The key has allowance left but the project has not: the key's stays unchanged."""
    one = replica()
    first = caller("key_1", key_limits={"requests_per_minute": 10}, requests_per_minute=1)
    second = caller("key_2", key_limits={"requests_per_minute": 10}, requests_per_minute=1)
    one.serve(first)
    for _ in range(20):
        with pytest.raises(RateLimited, match="your project 'proj_acme'"):
            one.admit(second)
    clock.turn(60)
    assert told(one.serve(second).headers)["x-ratelimit-remaining-requests"] == "0"
    key = one.meter._subjects["key_2"]
    assert key.requests.used == 1


async def test_headers_have_the_tighter_limit(replica):
    who = caller(key_limits={"requests_per_minute": 5}, requests_per_minute=100)
    assert told(replica().serve(who).headers)["x-ratelimit-limit-requests"] == "5"


async def test_tokens_are_estimated_and_then_corrected(replica):
    one = replica()
    who = caller(tokens_per_minute=1000)
    admission = one.admit(who, body=400, max_tokens=500)  # 100 + 500
    assert told(admission.headers) == {
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "400",
        "x-ratelimit-reset-tokens": "36s",
    }
    with pytest.raises(RateLimited, match="limit 1000, used 600, requested 600") as refused:
        one.admit(who, body=400, max_tokens=500)
    assert refused.value.headers["retry-after"] == "12"  # 200 tokens over, at 1000 a minute
    one.meter.done(admission, served(tokens=(90, 10)))
    again = one.admit(who, body=400, max_tokens=500)
    assert told(again.headers)["x-ratelimit-remaining-tokens"] == "300"


async def test_debt_of_a_long_answer_is_bounded_to_two_minutes(replica, clock):
    one = replica()
    who = caller(tokens_per_minute=100)
    one.serve(who, tokens=(20, 100_000))
    with pytest.raises(RateLimited) as refused:
        one.admit(who)
    assert 60 < float(refused.value.headers["retry-after"]) < 120
    clock.turn(float(refused.value.headers["retry-after"]))
    one.serve(who)


async def test_failed_requests_refund_their_tokens(replica):
    one = replica()
    who = caller(tokens_per_minute=1000)
    one.serve(who, max_tokens=900, tokens=(0, 0), status=502)
    one.serve(who, max_tokens=900, tokens=(0, 0), status=404, base_model="")
    one.serve(who, max_tokens=900)


@pytest.mark.parametrize("status", [200, 499])
async def test_disconnecting_does_not_circumvent_the_limit(replica, status):
    one = replica()
    who = caller(tokens_per_minute=1000)
    one.serve(who, max_tokens=900, tokens=(0, 0), status=status)
    with pytest.raises(RateLimited):
        one.admit(who, max_tokens=900)


async def test_an_abandoned_stream_keeps_the_prompt_estimate(replica):
    one = replica()
    who = caller(tokens_per_minute=1000)
    left = one.admit(who, body=400, max_tokens=500, streamed=True)
    one.meter.done(left, served(tokens=(0, 7), status=499, streamed=True))
    again = one.admit(who, body=0)
    assert told(again.headers)["x-ratelimit-remaining-tokens"] == str(1000 - 100 - 7)


@pytest.mark.parametrize("max_tokens", [2000, 10**400], ids=["some", "absurd"])
async def test_a_request_over_the_whole_limit_says_not_to_retry(replica, max_tokens):
    one = replica()
    who = caller(tokens_per_minute=1000, requests_per_minute=1)
    one.serve(who)  # even if it would be refused for another reason
    with pytest.raises(RateLimited, match=r"Request too large .*\(max_tokens\)") as refused:
        one.admit(who, max_tokens=max_tokens)
    assert refused.value.headers["x-should-retry"] == "false"
    assert not {"retry-after", "retry-after-ms"} & set(refused.value.headers)


@pytest.mark.parametrize("max_tokens", [-5, None])
async def test_invalid_max_tokens_refund_nothing(replica, max_tokens):
    admission = replica().admit(caller(tokens_per_minute=100), body=40, max_tokens=max_tokens)
    assert told(admission.headers)["x-ratelimit-remaining-tokens"] == "90"


async def test_the_prompt_estimate_of_a_large_body_is_bounded(replica):
    """8 MiB of an image are not 2 million tokens."""
    replica().admit(caller(tokens_per_minute=40_000), body=8 * 1024 * 1024)


async def test_concurrent_requests(replica):
    one = replica()
    who = caller(concurrent_requests=2)
    first, _second = one.admit(who), one.admit(who, streamed=True)
    with pytest.raises(RateLimited, match="concurrent requests: limit 2") as refused:
        one.admit(who)
    assert refused.value.headers["retry-after"] == "1"
    one.meter.done(first, served())
    one.admit(who)


async def test_concurrent_streams_leave_room_for_others(replica):
    one = replica()
    who = caller(key_limits={"concurrent_streams": 1})
    stream = one.admit(who, streamed=True)
    with pytest.raises(RateLimited, match="concurrent streams: limit 1"):
        one.admit(who, streamed=True)
    one.serve(who)
    one.meter.done(stream, served(streamed=True))
    one.admit(who, streamed=True)


async def test_each_answer_of_a_request_counts(replica):
    one = replica()
    who = caller(requests_per_minute=10, concurrent_requests=5)
    first = one.admit(who, answers=4)
    assert told(first.headers)["x-ratelimit-remaining-requests"] == "6"
    with pytest.raises(RateLimited, match="concurrent requests: limit 5"):
        one.admit(who, answers=2)
    second = one.admit(who)
    one.meter.done(first, served())
    one.meter.done(second, served())
    one.meter.done(one.admit(who, answers=4), served())
    with pytest.raises(RateLimited, match=r"limit 10, used 9, requested 2") as refused:
        one.admit(who, answers=2)
    assert refused.value.headers["retry-after"] == "6"
    one.admit(who)


@pytest.mark.parametrize("limit", ["requests_per_minute", "concurrent_requests"])
async def test_more_answers_than_the_limit_say_not_to_retry(replica, limit):
    limits: dict[str, Any] = {limit: 5}
    who = caller(**limits)
    with pytest.raises(RateLimited, match=r"too large .*counts as 6.*\(n\)") as refused:
        replica().admit(who, answers=6)
    assert refused.value.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.value.headers


async def test_a_changed_limit_applies_to_the_next_request(replica):
    """A caller that is looked up again is another object, perhaps with other limits."""
    one = replica()
    running = one.admit(caller())
    with pytest.raises(RateLimited):  # requests in progress count
        one.admit(caller(concurrent_requests=1))
    one.meter.done(running, served())
    for _ in range(5):
        one.serve(caller(requests_per_minute=5))
    with pytest.raises(RateLimited):
        one.admit(caller(requests_per_minute=5))
    one.serve(caller(requests_per_minute=6))  # used tokens stay used
    with pytest.raises(RateLimited):
        one.admit(caller(requests_per_minute=6))
    one.serve(caller())


async def test_default_limits_apply(replica):
    one = replica(
        project_limits=Limits(requests_per_minute=2), key_limits=Limits(concurrent_requests=1)
    )
    running = one.admit(caller())
    with pytest.raises(RateLimited, match="concurrent"):
        one.admit(caller())
    one.admit(caller("key_free", key_limits={"concurrent_requests": "unlimited"}))
    with pytest.raises(RateLimited, match="requests per minute"):
        one.admit(caller("key_free", key_limits={"concurrent_requests": "unlimited"}))
    one.meter.done(running, served())
    one.serve(caller(requests_per_minute="unlimited"))


async def test_a_clock_set_back_neither_fills_nor_drains(replica, clock):
    one = replica()
    who = caller(requests_per_minute=2)
    one.serve(who)
    clock.turn(-3600)
    one.serve(who)
    with pytest.raises(RateLimited):
        one.admit(who)


async def test_idle_keys_are_forgotten(replica, clock):
    one = replica()
    for number in range(50):
        one.serve(caller(f"key_{number}"))
    running = one.admit(caller("key_slow", "proj_slow"))
    await one.flush()
    clock.turn(600)
    await one.flush()
    assert set(one.meter._accounts) == {"key_slow"}
    assert set(one.meter._subjects) == {"key_slow", "proj_slow"}
    one.meter.done(running, served())
    clock.turn(600)
    await one.flush()
    clock.turn(600)
    await one.flush()
    assert one.meter._accounts == one.meter._subjects == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"), (0.0115, "12ms"), (0.9999, "1s"), (1, "1s"), (8.64, "8.64s"),
        (59.9999, "1m0s"), (86.4, "1m26s"), (360, "6m0s"),
    ],
)  # fmt: skip
def test_durations_are_formatted_like_openais(seconds, text):
    assert duration(seconds) == text


steps = st.lists(st.tuples(st.integers(0, 30_000), st.integers(-200, 400)), min_size=1, max_size=40)


@given(capacity=st.integers(1, 10_000), steps=steps)
def test_a_bucket_drains_evenly_within_its_bounds(capacity, steps):
    bucket, used, now_ms = Bucket(capacity, 0.0), Fraction(0), 0
    for wait_ms, amount in steps:
        now_ms += wait_ms
        used = max(Fraction(0), used - Fraction(capacity * wait_ms, 60_000))
        assert abs(bucket.drain(now_ms / 1000) - used) < 1e-6 * max(1, capacity)
        bucket.use(amount)
        used = min(max(Fraction(0), used + amount), Fraction(MAX_DEBT) * capacity)


@given(capacity=st.integers(1, 1000), steps=steps)
def test_a_request_fits_after_the_wait(capacity, steps):
    bucket, now_s = Bucket(capacity, 0.0), 0.0
    for wait_ms, amount in steps:
        now_s += wait_ms / 1000
        bucket.drain(now_s)
        bucket.use(amount)
    now_s += bucket.wait_s(1)
    assert bucket.drain(now_s) + 1 <= capacity + 1e-6


def test_unsent_usage_is_added_to_that_of_redis():
    bucket = Bucket(60, 0.0)
    bucket.use(10)
    assert bucket.settle() == 10
    bucket.use(3)  # after the batch was sealed
    bucket.learn(30.0, 0.0, 5.0)  # others used 20; 5 drained since
    assert bucket.used == 28
    assert bucket.settle() == 3


async def test_current_use_sums_replicas_and_refills(replica, redis, clock):
    one, two = replica(), replica()
    who = caller(requests_per_minute=60, tokens_per_minute=6000, concurrent_requests=9)
    one.serve(who, tokens=(100, 50))
    two.serve(who, tokens=(200, 100))
    two.admit(who, streamed=True)
    for meter in (one, two):
        await meter.flush()
    used = await current_use(redis, who.project_id, who.project_limits, NOON)
    assert used == CurrentUse(requests=3, tokens=460, concurrent_requests=1, concurrent_streams=1)
    later = await current_use(redis, who.project_id, who.project_limits, NOON + 2)
    assert (later.requests, later.tokens) == (1, 260)


async def test_current_use_is_zero_without_limits(replica, redis):
    who = caller()
    one = replica()
    one.serve(who)
    await one.flush()
    assert await current_use(redis, who.key_id, NO_LIMITS, NOON) == CurrentUse(0, 0, 0, 0)
    unused = Limits(requests_per_minute=5)
    assert await current_use(redis, "key_of_nobody", unused, NOON) == CurrentUse(0, 0, 0, 0)


def test_projects_have_a_default_limit_on_concurrent_requests():
    assert Settings().default_key_limits == NO_LIMITS
    assert Settings().default_project_limits == ProjectLimits(concurrent_requests=64)


def test_the_default_limit_is_kept_unless_overridden(monkeypatch):
    monkeypatch.setenv("FINETUNED_DEFAULT_PROJECT_LIMITS", '{"requests_per_minute": 60}')
    assert Settings().default_project_limits == ProjectLimits(
        requests_per_minute=60, concurrent_requests=64
    )
    monkeypatch.setenv("FINETUNED_DEFAULT_PROJECT_LIMITS", '{"concurrent_requests": "unlimited"}')
    assert Settings().default_project_limits == ProjectLimits(concurrent_requests="unlimited")


def test_defaults_are_json(monkeypatch):
    monkeypatch.setenv("FINETUNED_DEFAULT_KEY_LIMITS", '{"requests_per_minute": 60}')
    assert Settings().default_key_limits == Limits(requests_per_minute=60)
    monkeypatch.setenv("FINETUNED_DEFAULT_KEY_LIMITS", '{"requests_per_hour": 60}')
    with pytest.raises(ValidationError, match="requests_per_hour"):
        Settings()
