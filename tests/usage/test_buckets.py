"""Tests of the leaky bucket against a reference in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from service.usage.limits import MAX_DEBT, Bucket

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
