"""Tests of the replicas of a base model with a simulated clock, without sockets or waiting."""

from __future__ import annotations

from collections import Counter

import pytest
from prometheus_client import REGISTRY

from service.inference.upstreams.health import Fault, Policy, ReplicaState
from service.inference.upstreams.replicas import Replica, Replicas

URLS = [f"http://10.0.0.{i}:8000" for i in range(1, 9)]
ADAPTERS = [f"ft:clocked:acme:shop{i}:a{i:05d}" for i in range(200)]
BASE = "clocked"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replicas(clock):
    """Create this many serving replicas."""

    def make(count: int, **policy) -> Replicas:
        made = Replicas(BASE, Policy(**policy), clock=clock)
        made.set_urls(URLS[:count])
        for member in made.members:
            made.record_probe(member, True)
        clock.now += 60
        return made

    return make


def homes(replicas: Replicas) -> dict[str, str]:
    picked = {adapter: replicas.pick(adapter) for adapter in ADAPTERS}
    return {adapter: replica.url for adapter, replica in picked.items() if replica is not None}


def metric(state: ReplicaState) -> float | None:
    labels = {"base_model": BASE, "state": state.value}
    return REGISTRY.get_sample_value("finetuned_engine_replicas", labels)


def eject(replicas: Replicas, replica) -> None:
    term = replicas.take(replica)
    replicas.release(replica)
    replicas.record_refusal(replica, term)


def test_only_the_adapters_of_an_ejected_replica_move(replicas):
    three = replicas(3)
    before, gone = homes(three), three.members[1]
    eject(three, gone)
    after = homes(three)
    assert {a for a in ADAPTERS if before[a] != after[a]} == {
        a for a in ADAPTERS if before[a] == gone.url
    }


def test_one_that_returns_gets_its_adapters_back_over_some_seconds(replicas, clock):
    three = replicas(3, warmup_s=10)
    before, gone = homes(three), three.members[1]
    eject(three, gone)
    clock.now += 5
    three.record_probe(gone, True)
    counts = []
    for _ in range(11):
        counts.append(Counter(homes(three).values())[gone.url])
        clock.now += 1
    assert counts == sorted(counts)
    assert 0 < counts[0] < counts[5] < counts[10]
    assert homes(three) == before


def test_one_that_returns_gets_few_requests_of_the_base_model_at_first(replicas, clock):
    two = replicas(2, warmup_s=10)
    back, other = two.members
    eject(two, back)
    clock.now += 5
    two.record_probe(back, True)
    for _ in range(110):
        two.take(two.pick(None))
    assert (back.in_flight, other.in_flight) == (10, 100)
    clock.now += 10
    for _ in range(90):
        two.take(two.pick(None))
    assert (back.in_flight, other.in_flight) == (100, 100)


def test_one_that_returns_is_bounded_by_its_share(replicas, clock):
    """Under load, even its own adapters exceed its share."""
    two = replicas(2, warmup_s=10, spill_above=8)
    back, other = two.members
    own = [adapter for adapter, url in homes(two).items() if url == back.url]
    eject(two, back)
    clock.now += 5
    two.record_probe(back, True)
    clock.now += 4.5  # half of its share
    for i in range(120):
        two.take(two.pick(own[i % len(own)]))
    # 1.25 times half a share of one and a half: 0.42 of all.
    assert back.in_flight <= 51
    assert other.in_flight >= 69


def test_states_are_told_to_prometheus(replicas, clock):
    three = replicas(3, warmup_s=10)
    three.set_urls(URLS[:4])
    eject(three, three.members[0])
    assert three.states() == {
        ReplicaState.STARTING: 1,
        ReplicaState.WARMING: 0,
        ReplicaState.SERVING: 2,
        ReplicaState.EJECTED: 1,
        ReplicaState.LEAVING: 0,
    }
    assert {state: metric(state) for state in ReplicaState} == three.states()
    clock.now += 5
    three.record_probe(three.members[0], True)
    assert (metric(ReplicaState.EJECTED), metric(ReplicaState.WARMING)) == (0, 1)
    clock.now += 10
    three.record_probe(three.members[1], True)  # any look at the clock is enough
    assert (metric(ReplicaState.WARMING), metric(ReplicaState.SERVING)) == (0, 3)


def test_requests_of_an_earlier_term_say_nothing(replicas, clock):
    """Requests from before an ejection have no effect.

    Their failures must not count against the engine later, and a late response must not bring it
    back.
    """
    two = replicas(2, max_failures=3)
    ill = two.members[0]
    terms = [two.take(ill) for _ in range(20)]
    for term in terms[:3]:
        two.record_failure(ill, term, Fault.LOST)
    assert two.states()[ReplicaState.EJECTED] == 1
    two.record_success(ill, terms[3])
    assert two.states()[ReplicaState.EJECTED] == 1
    clock.now += 5
    two.record_probe(ill, True)
    for term in terms[4:]:
        two.record_failure(ill, term, Fault.LOST)
        two.record_refusal(ill, term)
    assert two.states()[ReplicaState.EJECTED] == 0


def test_the_last_usable_one_is_not_left_out_for_failures(replicas):
    two = replicas(2, max_failures=3)
    first, last = two.members
    eject(two, first)
    for _ in range(10):
        two.record_failure(last, two.take(last), Fault.GARBAGE)
    assert two.pick("ft:x") is last


def test_each_is_tried_once_usable_ones_first(replicas):
    four = replicas(4)
    four.set_urls(URLS[:5])
    eject(four, four.members[0])
    tried: list[Replica] = []
    while (replica := four.pick(ADAPTERS[0], tried)) is not None:
        tried.append(replica)
    assert len(tried) == 5
    assert set(tried[:3]) == set(four.members[1:4])
    assert tried[0].url == homes(four)[ADAPTERS[0]]


def test_in_doubt_adapters_keep_their_order(replicas):
    three = replicas(3)
    before = homes(three)
    for member in three.members:
        eject(three, member)
    assert homes(three) == before


def test_one_that_leaves_and_returns_is_the_same_while_requests_run(replicas):
    two = replicas(2)
    leaving = two.members[0]
    two.take(leaving)
    two.set_urls(URLS[1:2])
    assert two.states()[ReplicaState.LEAVING] == 1
    assert {two.pick(a).url for a in ADAPTERS} == {URLS[1]}
    two.set_urls(URLS[:2])
    assert two.members[0] is leaving
    two.set_urls(URLS[1:2])
    two.release(leaving)
    assert two.states()[ReplicaState.LEAVING] == metric(ReplicaState.LEAVING) == 0
    two.set_urls(URLS[:2])
    assert two.members[0] is not leaving


def test_one_that_leaves_with_nothing_to_do_is_gone(replicas):
    two = replicas(2)
    two.set_urls(URLS[1:2])
    assert two.states()[ReplicaState.LEAVING] == metric(ReplicaState.LEAVING) == 0


def test_none_at_all():
    nobody = Replicas(BASE, Policy())
    nobody.set_urls([])
    assert nobody.pick("ft:x") is None
    assert nobody.pick(None) is None
