"""Tests of an engine's housekeeping: metrics of adapters, and when it looks for deleted models."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY, Gauge

from service.core.invalidation import InvalidationKind, Invalidations, publish
from service.core.redis import connect
from service.inference.engine.process import ModelChanges, keep_one_series_of_running_adapters

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


@pytest.mark.slow
async def test_a_change_of_a_known_model_ends_the_pause(redis_url):
    redis = connect(redis_url)
    invalidations = Invalidations(redis)
    changes = ModelChanges(invalidations, {"ft:mine"}.__contains__, every_s=600)
    try:
        async with invalidations.listening():
            await asyncio.wait_for(changes.pause(), 60)  # what was missed before is looked at
            pausing = asyncio.create_task(changes.pause())
            for name in ("ft:other", "ft:mine"):
                assert not pausing.done()
                async with redis.pipeline() as pipe:
                    publish(pipe, InvalidationKind.MODEL, "proj_a", name)
                    await pipe.execute()
            await asyncio.wait_for(pausing, 60)
    finally:
        await redis.aclose(close_connection_pool=True)


@pytest.mark.slow
async def test_without_messages_the_pause_ends_after_the_interval(redis_url):
    redis = connect(redis_url)
    began = time.monotonic()
    await ModelChanges(Invalidations(redis), {"ft:mine"}.__contains__, every_s=0.05).pause()
    assert time.monotonic() - began >= 0.04
    await redis.aclose(close_connection_pool=True)
