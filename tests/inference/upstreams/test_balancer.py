"""Tests of load balancing: properties for all sets, weights and loads."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from service.inference.upstreams.replicas import Balancer

URLS = [f"http://10.0.0.{i}:8000" for i in range(1, 9)]
ADAPTERS = [f"ft:base:acme:shop-{i}:abc{i:03d}" for i in range(200)]


# The machine may have other work to do.
property_test = settings(deadline=None, max_examples=50)


@dataclass
class Server:
    url: str
    in_flight: int = 0


def balancer(urls, weights=None, *, loads=None, load_factor=1.25, spill_above=8):
    servers = [Server(url) for url in urls]
    for server, load in zip(servers, loads or [], strict=False):
        server.in_flight = load
    pairs = list(zip(servers, weights or [1.0] * len(servers), strict=True))
    return Balancer(pairs, load_factor=load_factor, spill_above=spill_above)


def homes(urls, weights=None) -> dict[str, str]:
    idle = balancer(urls, weights)
    return {adapter: idle.for_adapter(adapter)[0].url for adapter in ADAPTERS}


sets_of_urls = st.lists(st.sampled_from(URLS), min_size=1, max_size=8, unique=True)
weights = st.sampled_from([n / 10 for n in range(1, 11)])


@property_test
@given(sets_of_urls, st.data())
def test_only_adapters_of_a_replica_that_leaves_move(urls, data):
    assume(len(urls) > 1)
    gone = data.draw(st.sampled_from(urls))
    before, after = homes(urls), homes([url for url in urls if url != gone])
    assert {a for a in ADAPTERS if before[a] != after[a]} == {
        a for a in ADAPTERS if before[a] == gone
    }


@property_test
@given(sets_of_urls, st.data())
def test_with_a_growing_weight_adapters_move_there_and_nowhere_else(urls, data):
    assume(len(urls) > 1)
    at = data.draw(st.integers(0, len(urls) - 1))
    before = dict.fromkeys(ADAPTERS, "")
    for tenths in range(1, 11):
        now = homes(urls, [tenths / 10 if i == at else 1.0 for i in range(len(urls))])
        moved = {a for a in ADAPTERS if before[a] not in {"", now[a]}}
        assert {now[a] for a in moved} <= {urls[at]}
        before = now


@property_test
@given(st.permutations(URLS))
def test_the_order_in_which_replicas_are_named_does_not_matter(urls):
    assert homes(urls) == homes(URLS)


def test_adapters_are_spread_evenly():
    count = Counter(homes(URLS).values())
    assert set(count) == set(URLS)
    # 200 over 8: 25 each, with a standard deviation of 4.7.
    assert all(8 <= n <= 42 for n in count.values()), count


def test_the_share_of_adapters_follows_the_weights():
    count = Counter(homes(URLS[:2], [1.0, 0.25]).values())
    assert count[URLS[1]] / len(ADAPTERS) == pytest.approx(0.2, abs=0.06)


@property_test
@given(
    sets_of_urls,
    st.lists(weights, min_size=8, max_size=8),
    st.floats(1.01, 3.0),
    st.integers(1, 10),
    st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=1, max_size=300),
)
def test_no_bound_is_ever_exceeded(urls, all_weights, load_factor, spill_above, asked):
    """Only adapter requests, none of which ends, and few adapters, so that they collide."""
    used = all_weights[: len(urls)]
    servers = [Server(url) for url in urls]
    chooses = Balancer(
        list(zip(servers, used, strict=True)), load_factor=load_factor, spill_above=spill_above
    )
    for n, number in enumerate(asked, start=1):
        if number is None:
            chooses.least_loaded().in_flight += 1
            continue
        server, _ = chooses.for_adapter(ADAPTERS[number])
        server.in_flight += 1
        weight = used[servers.index(server)]
        bound = math.ceil(load_factor * n * weight / sum(used))
        assert len(urls) == 1 or server.in_flight <= max(bound, math.ceil(spill_above * weight))


@property_test
@given(sets_of_urls, st.lists(st.integers(0, 500), min_size=8, max_size=8))
def test_whatever_the_load_one_is_chosen_and_a_spill_is_told(urls, loads):
    loaded = balancer(urls, loads=loads)
    own = homes(urls)
    for adapter in ADAPTERS[:20]:
        server, spilled = loaded.for_adapter(adapter)
        assert spilled == (server.url != own[adapter])


def test_an_adapter_stays_while_there_is_little_to_do():
    idle = balancer(URLS)
    own = idle.for_adapter(ADAPTERS[0])[0]
    for _ in range(8):
        server, spilled = idle.for_adapter(ADAPTERS[0])
        assert (server, spilled) == (own, False)
        server.in_flight += 1
    server, spilled = idle.for_adapter(ADAPTERS[0])
    assert spilled
    assert server is not own
    # The next in this adapter's order, which would serve it if its own replica died.
    others = [url for url in URLS if url != own.url]
    assert server.url == homes(others)[ADAPTERS[0]]


def test_the_bound_counts_the_new_request():
    """1.5 times half of 4 is 3, so its fourth request spills over, and its third did not."""
    own = homes(URLS[:2])[ADAPTERS[0]]
    urls = [own, *(url for url in URLS[:2] if url != own)]
    for loads, spills in (([2, 0], False), ([2, 1], False), ([3, 0], True), ([3, 1], False)):
        chooses = balancer(urls, loads=loads, load_factor=1.5, spill_above=1)
        assert chooses.for_adapter(ADAPTERS[0])[1] is spills, loads


def test_a_busy_site_lets_an_adapter_have_more():
    """With 80 requests on 8 replicas, each may have 13; 8 is the minimum, not the limit."""
    busy = balancer(URLS, loads=[10] * 8)
    server, spilled = busy.for_adapter(ADAPTERS[0])
    assert (server.in_flight, spilled) == (10, False)


@property_test
@given(st.integers(1, 8), st.integers(1, 200))
def test_the_base_model_goes_to_the_least_loaded(count, requests):
    servers = [Server(url) for url in URLS[:count]]
    chooses = Balancer([(s, 1.0) for s in servers], load_factor=1.25, spill_above=8)
    for _ in range(requests):
        chooses.least_loaded().in_flight += 1
    loads = [s.in_flight for s in servers]
    assert max(loads) - min(loads) <= 1


def test_one_request_after_another_goes_round():
    idle = balancer(URLS[:3])
    assert {idle.least_loaded().url for _ in range(3)} == set(URLS[:3])


def test_the_base_model_respects_weights():
    servers = [Server(URLS[0]), Server(URLS[1])]
    chooses = Balancer([(servers[0], 1.0), (servers[1], 0.1)], load_factor=1.25, spill_above=8)
    for _ in range(110):
        chooses.least_loaded().in_flight += 1
    assert [s.in_flight for s in servers] == [100, 10]


def test_every_process_chooses_the_same():
    script = (
        "import json, sys\n"
        "from service.inference.upstreams.replicas import Balancer\n"
        "class S:\n"
        "    in_flight = 0\n"
        "    def __init__(self, url): self.url = url\n"
        "urls, names = json.load(sys.stdin)\n"
        "b = Balancer([(S(u), 1.0) for u in urls], load_factor=1.25, spill_above=8)\n"
        "print(json.dumps({n: b.for_adapter(n)[0].url for n in names}))\n"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps([URLS[::-1], ADAPTERS]),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout) == homes(URLS)


def test_names_in_any_script_and_length_are_taken():
    idle = balancer(URLS)
    for name in ("ft:b:会社:声:x", "", "a" * 10_000, "\0", "e\u0301"):
        assert idle.for_adapter(name)[0].url in URLS


def test_nothing_to_choose_from_is_refused():
    with pytest.raises(ValueError, match="replicas"):
        balancer([])
    with pytest.raises(ValueError, match="weight"):
        balancer(URLS[:1], [0.0])
