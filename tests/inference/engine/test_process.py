"""Tests of what an engine's process adds to vLLM."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY, Gauge

from service.inference.engine.process import keep_one_series_of_running_adapters

NAME = "vllm:lora_requests_info"
LABELS = ("max_lora", "waiting_lora_adapters", "running_lora_adapters")


@pytest.fixture
def gauge() -> Iterator[Gauge]:
    gauge = Gauge(NAME, "As in vLLM.", LABELS)
    keep_one_series_of_running_adapters()
    yield gauge
    REGISTRY.unregister(gauge)


def set_running(gauge: Gauge, adapters: str) -> None:
    values = {"max_lora": 4, "waiting_lora_adapters": "", "running_lora_adapters": adapters}
    gauge.labels(**values).set_to_current_time()


def running(gauge: Gauge) -> list[str]:
    (metric,) = gauge.collect()
    return [sample.labels["running_lora_adapters"] for sample in metric.samples]


def test_only_the_latest_set_of_running_adapters_has_a_series(gauge):
    for adapters in ("a", "a,b", "a,b", "", "a"):
        set_running(gauge, adapters)
        assert running(gauge) == [adapters]


def test_reading_in_another_thread_always_finds_a_series(gauge):
    set_running(gauge, "0")
    counts: set[int] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            counts.add(len(running(gauge)))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(20_000):
        set_running(gauge, str(number))
    done.set()
    reader.join(60)
    assert counts <= {1, 2}, counts
