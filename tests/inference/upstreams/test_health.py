"""Tests of ejection and recovery of a replica, with a simulated clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.inference.upstreams.health import Health, Policy, ReplicaState

POLICY = Policy(max_failures=3, max_failed_probes=3, backoff_s=1, max_backoff_s=30, warmup_s=10)


@pytest.fixture
def health() -> Health:
    return Health(POLICY)


@pytest.fixture
def serving() -> Health:
    health = Health(POLICY)
    health.record_probe(True, 0.0)
    assert health.state(100.0) is ReplicaState.SERVING
    return health


def fail(health: Health, times: int, *, now=100.0, spare=True):
    return [health.record_failure(now, spare=spare) for _ in range(times)]


def test_one_that_has_not_answered_is_not_healthy(health):
    assert health.state(0.0) is ReplicaState.STARTING
    assert health.weight(1e9) == 0
    assert not health.record_probe(False, 1.0)
    assert not health.record_refusal(2.0)
    assert fail(health, 10) == [False] * 10
    assert health.state(3.0) is ReplicaState.STARTING


def test_a_probe_or_an_answer_is_a_sign_of_life(health):
    assert health.record_probe(True, 5.0)
    assert health.state(5.0) is ReplicaState.WARMING
    other = Health(POLICY)
    assert other.record_success(5.0)
    assert other.state(5.0) is ReplicaState.WARMING


def test_the_share_grows_in_steps(health):
    health.record_probe(True, 50.0)
    shares = [health.weight(50.0 + s) for s in (0, 0.9, 1.0, 4.5, 8.9, 9.0, 10.0)]
    assert shares == [0.1, 0.1, 0.2, 0.5, 0.9, 1.0, 1.0]
    assert health.state(60.0) is ReplicaState.SERVING


@settings(deadline=None)
@given(st.floats(0, 1e9))
def test_each_change_is_announced(start):
    health = Health(POLICY)
    health.record_probe(True, start)
    now, seen = start, [health.weight(start)]
    for _ in range(20):
        if (now := health.next_change(now)) == math.inf:
            break
        seen.append(health.weight(now))
    assert now == math.inf
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_without_warmup_the_share_is_whole_at_once():
    health = Health(Policy(warmup_s=0))
    health.record_probe(True, 5.0)
    assert (health.state(5.0), health.weight(5.0)) == (ReplicaState.SERVING, 1.0)
    assert health.next_change(5.0) == math.inf


def test_a_refused_connection_ejects_at_once(serving):
    assert serving.record_refusal(100.0)
    assert serving.state(100.0) is ReplicaState.EJECTED
    assert serving.weight(100.0) == 0
    assert not serving.record_refusal(100.1)


def test_failures_in_a_row_eject(serving):
    assert fail(serving, 2) == [False, False]
    serving.record_success(100.0)
    assert fail(serving, 3) == [False, False, True]
    assert serving.state(100.0) is ReplicaState.EJECTED


def test_the_last_one_is_kept_in_spite_of_failures(serving):
    assert fail(serving, 10, spare=False) == [False] * 10
    assert serving.state(100.0) is ReplicaState.SERVING
    assert fail(serving, 1, spare=True) == [True]


def test_a_failure_is_remembered_until_it_answers_again(serving):
    assert not serving.in_doubt
    serving.record_failure(100.0, spare=False)
    assert serving.in_doubt
    serving.record_success(100.0)
    assert not serving.in_doubt
    serving.record_probe(False, 100.0)
    assert serving.in_doubt
    serving.record_probe(True, 100.0)
    assert not serving.in_doubt


def test_probes_that_fail_in_a_row_eject(serving):
    for is_healthy in (False, False, True, False, False):
        assert not serving.record_probe(is_healthy, 100.0)
    assert serving.record_probe(False, 100.0)
    assert serving.state(100.0) is ReplicaState.EJECTED


def test_an_engine_that_answers_but_whose_probes_are_slow_stays(serving):
    for _ in range(20):
        assert not serving.record_probe(False, 100.0)
        serving.record_success(100.0)


def test_it_comes_back_by_a_probe_after_its_backoff(serving):
    serving.record_refusal(100.0)
    assert not serving.record_probe(True, 100.9)
    assert not serving.record_probe(False, 101.5)
    assert serving.record_probe(True, 102.0)
    assert (serving.state(102.0), serving.weight(102.0)) == (ReplicaState.WARMING, 0.1)


def test_the_backoff_doubles_up_to_its_cap_while_it_keeps_falling_out(serving):
    now, waits = 100.0, []
    for _ in range(8):
        serving.record_refusal(now)
        began = now
        while not serving.record_probe(True, now):
            now += 0.25
        waits.append(now - began)
        now += 0.25
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_the_backoff_is_forgotten_by_one_that_stays_well(serving):
    now = 100.0
    for _ in range(4):
        serving.record_refusal(now)
        now += 30
        assert serving.record_probe(True, now)
    now += 30.5
    serving.record_refusal(now)
    assert serving.record_probe(True, now + 1)


def test_a_long_outage_costs_no_longer_backoff(serving):
    serving.record_refusal(100.0)
    for second in range(101, 1000):
        serving.record_probe(False, second)
    assert serving.record_probe(True, 1000.0)


def test_the_term_changes_with_each_ejection(serving):
    first = serving.term
    serving.record_refusal(100.0)
    assert serving.term == first + 1
    serving.record_probe(True, 102.0)
    assert serving.term == first + 1


def test_an_answer_in_doubtful_times_brings_it_back(serving):
    """All replicas are ejected, one is tried, and it answers."""
    serving.record_refusal(100.0)
    assert serving.record_success(100.1)
    assert serving.state(100.1) is ReplicaState.WARMING


events = st.lists(
    st.tuples(
        st.floats(0, 5),
        st.sampled_from(["refused", "failed", "succeeded", "well", "ill"]),
        st.booleans(),
    ),
    max_size=60,
)


def happen(health: Health, event: str, now: float, spare: bool) -> bool:
    match event:
        case "refused":
            return health.record_refusal(now)
        case "failed":
            return health.record_failure(now, spare=spare)
        case "succeeded":
            return health.record_success(now)
        case _:
            return health.record_probe(event == "well", now)


@settings(deadline=None)
@given(events)
@example(
    [(1.0754191501404646, "refused", False), (4.999999999999999, "succeeded", False)]
    + [(5.0, "failed", False)] * 2
)
def test_whatever_happens_the_state_is_sound(history):
    health, now = Health(POLICY), 0.0
    for passed_s, event, spare in history:
        now += passed_s
        before, term = health.state(now), health.term
        changed = happen(health, event, now, spare)
        after = health.state(now)
        assert changed == (before is not after) or {before, after} <= {
            ReplicaState.WARMING,
            ReplicaState.SERVING,
        }
        assert health.term == term + (after is ReplicaState.EJECTED and before is not after)
        assert (health.weight(now) > 0) == (after in {ReplicaState.WARMING, ReplicaState.SERVING})
        assert health.next_change(now) > now or health.next_change(now) == math.inf
