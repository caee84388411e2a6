"""Tests of scraped inference metrics and their bounded cardinality."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.core.errors import RateLimited
from service.core.metric_types import BoundedLabel, Group, Process
from tests.usage.conftest import caller, served


def scraped() -> dict[tuple[str, frozenset[Any]], float]:
    """Return all samples of the process, by name and labels."""
    text = generate_latest().decode()
    return {
        (s.name, frozenset(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


class Since:
    """Growth of samples since the object was created."""

    def __init__(self) -> None:
        self.before = scraped()

    def grown(self, name: str, **labels: str) -> float:
        place = (f"finetuned_inference_{name}", frozenset(labels.items()))
        return scraped().get(place, 0) - self.before.get(place, 0)


def test_cells_export_like_prometheus_client():
    registry = CollectorRegistry()
    group = Group("Tests", (Process.API,), registry=registry)
    counter = group.counter("a_total", "A.", ["x"])
    gauge = group.gauge("b", "B.", ["x"])
    histogram = group.histogram("c_seconds", "C.", ["x"], buckets=(1, 0.1))
    counter.cell("one").inc(2)
    gauge.cell('qu"o\nte').set(-1)
    for value in (0.05, 0.1, 0.5, 3):
        histogram.cell("one").observe(value)
    text = generate_latest(registry).decode()
    assert 'a_total{x="one"} 2.0' in text
    assert 'b{x="qu\\"o\\nte"} -1.0' in text
    for line in (
        'c_seconds_bucket{le="0.1",x="one"} 2.0',
        'c_seconds_bucket{le="1.0",x="one"} 3.0',
        'c_seconds_bucket{le="+Inf",x="one"} 4.0',
        'c_seconds_count{x="one"} 4.0',
        'c_seconds_sum{x="one"} 3.65',
    ):
        assert line in text
    with pytest.raises(ValueError, match="labels"):
        counter.cell("one", "two")


def test_counters_of_alerts_are_exported_from_zero():
    registry = CollectorRegistry()
    group = Group("Tests", (Process.API,), registry=registry)
    plain = group.counter("a_total", "A.")
    labeled = group.counter("b_total", "B.", ["x"], from_zero=[("one",)])
    gauge = group.gauge("c", "C.")
    for metric in (plain, labeled, gauge):
        metric.begin()
    samples = [s for family in registry.collect() for s in family.samples]
    assert [(s.name, s.labels, s.value) for s in samples] == [
        ("a_total", {}, 0),
        ("b_total", {"x": "one"}, 0),
    ]


def test_a_label_is_bounded():
    label = BoundedLabel(2)
    assert [label.value(v) for v in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]


async def test_requests_tokens_and_times(replica):
    one = replica()
    who = caller(project="proj_counted")
    of = {"base_model": "tiny", "kind": "adapter", "project": "counted"}
    since = Since()
    one.serve(who, tokens=(10, 5), cached=4)
    one.serve(who, tokens=(10, 11), first_byte_s=0.2, seconds=0.4, streamed=True)
    one.serve(who, tokens=(0, 0), status=503, first_byte_s=None)
    one.serve(who, tokens=(0, 0), status=404, base_model="", model="made-up")
    assert since.grown("requests_total", **of, status="200") == 2
    assert since.grown("requests_total", **of, status="503") == 1
    assert since.grown("tokens_total", **of, direction="in") == 20
    assert since.grown("tokens_total", **of, direction="cached") == 4
    assert since.grown("tokens_total", **of, direction="out") == 16
    assert since.grown("first_byte_seconds_count", **of, streamed="no") == 1
    assert since.grown("first_byte_seconds_count", **of, streamed="yes") == 1
    assert since.grown("first_byte_seconds_sum", **of, streamed="yes") == pytest.approx(0.2)
    assert since.grown("output_token_seconds_count", **of) == 1
    assert since.grown("output_token_seconds_sum", **of) == pytest.approx(0.02)
    assert "made-up" not in generate_latest().decode()


async def test_in_flight_and_limited(replica):
    one = replica(wait_s=0.01)
    who = caller(project="proj_busy", key_limits={"tokens_per_minute": 50}, concurrent_requests=1)
    since = Since()
    running = one.admit(who)
    with pytest.raises(RateLimited):
        await one.meter.admit_in_turn(who, body_bytes=1, max_tokens=1, streamed=False)
    with pytest.raises(RateLimited):
        one.admit(who, max_tokens=51)
    assert since.grown("in_flight", project="busy") == 1
    one.meter.done(running, served())
    assert since.grown("in_flight", project="busy") == 0
    for limit, scope in (("concurrent_requests", "project"), ("too_large", "key")):
        assert since.grown("limited_total", limit=limit, scope=scope, project="busy") == 1


async def test_labels_are_bounded(replica):
    one = replica(max_labelled_projects=3)
    for number in range(20):
        one.serve(caller(f"key_{number}", f"proj_endless{number}"), model=f"ft:secret-{number}")
    every = generate_latest().decode().splitlines()
    text = "\n".join(line for line in every if line.startswith("finetuned_inference"))
    assert {f"endless{n}" for n in range(20) if f'"endless{n}"' in text} == {
        "endless0", "endless1", "endless2"
    }  # fmt: skip
    assert 'project="other"' in text
    assert "key_" not in text
    assert "secret-" not in text
