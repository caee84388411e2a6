"""Tests that a worker paces a trainer that shares its device with chats."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from service.config import Settings
from service.core import metrics
from service.core.redis import connect
from service.inference.chat_load import CHANNEL, ChatReport
from service.jobs.attempt.pacing import chat_budget_ms
from tests.jobs.test_faults import event, rows
from tests.jobs.test_jobs import create, upload
from tests.jobs.test_methods import ended

SHORT = {"n_epochs": 1, "batch_size": 4, "quantization": "none", "lora": {"r": 8}}


@pytest.mark.parametrize(
    ("sharing", "slo_ms", "budget"),
    [("share", 800, 800), ("share", 0, None), ("separate", 800, None), ("time-slice", 800, None)],
)
def test_only_a_training_that_runs_next_to_engines_is_paced(sharing, slo_ms, budget):
    settings = Settings(gpu_sharing=sharing, train_slo_ms=slo_ms)
    assert chat_budget_ms(settings) == budget


def test_a_training_on_a_ray_cluster_is_paced_too():
    cluster = Settings(
        gpu_sharing="share", train_slo_ms=800, ray_address="ray://head:10001", trainer_gpus=2
    )
    assert chat_budget_ms(cluster) == 800


@contextlib.asynccontextmanager
async def slow_chats(settings: Settings, end: asyncio.Event):
    """Report, as an API process, chats that take 5 s, and from `end` on that there are none."""
    redis = connect(settings.redis_url.get_secret_value())
    slow = ChatReport(process="api", in_flight=1, first_byte_ms=(5000,), waiting_ms=(4000,))

    async def publish() -> None:
        while True:
            report = ChatReport(process="api", in_flight=0) if end.is_set() else slow
            await redis.publish(CHANNEL, report.model_dump_json())
            await asyncio.sleep(0.2)

    task = asyncio.create_task(publish())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await redis.aclose(close_connection_pool=True)


def rested() -> float:
    return sum(
        sample.value
        for metric in metrics.TRAIN_RESTED_SECONDS.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


@pytest.mark.slow
@pytest.mark.usefixtures("tiny", "forked_trainers")
async def test_a_job_rests_next_to_slow_chats_and_still_succeeds(settings, http, work):
    settings.gpu_sharing, settings.train_slo_ms = "share", 500
    before = rested()
    job = await create(http, await upload(http, rows(12)), hyperparameters=SHORT)
    over = asyncio.Event()
    async with slow_chats(settings, over), work("cpu", "gpu"):
        await event(http, job["id"], "Step 1/")
        over.set()
        job, events = await ended(http, job["id"])
    assert job["status"] == "succeeded", job["error"]
    *_, paced = [e for e in events if e["data"].get("code") == "paced"]
    assert paced["data"]["chat_budget_ms"] == 500
    assert paced["data"]["chat_p95_ms"] == 5000
    assert paced["data"]["rested_seconds"] > 0
    assert paced["message"].startswith(f"paced: {paced['data']['rested_share']:.0%} of the time")
    first, *_ = [e for e in events if e["type"] == "metrics"]
    assert first["data"]["rested_seconds"] > 0
    assert rested() - before == pytest.approx(paced["data"]["rested_seconds"], abs=0.1)
