"""Tests of the rounds of the reconciler: what they cost, and that workers take turns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from service.config import Settings
from service.core import metrics, queue
from service.core.leases import Held, Leases, lead
from service.core.redis import Client
from service.core.storage import Storage
from service.erasure.deletions import Deletions
from service.erasure.eraser import Eraser
from service.files.records import FileRecord, Files, FileStatus, Purpose
from service.jobs.dispatch import Dispatcher
from service.jobs.records import Jobs, Status
from service.models.catalogue import Catalogue
from service.models.registry import ModelRegistry
from service.worker.reconciler import Reconciler, load_gauges, store_gauges
from tests.conftest import Api
from tests.jobs.running import running_job
from tests.redis_work import work_of

FEW, MANY = 3, 100


class Site:
    """Records on an empty Valkey, and the reconcilers of several workers."""

    def __init__(self, redis: Client, settings: Settings) -> None:
        self.redis = redis
        self.settings = settings
        self.jobs = Jobs(redis)
        self.files = Files(redis, Storage.from_url(settings.storage_url))

    def reconciler(self, worker: str = "me") -> Reconciler:
        leases = Leases(self.redis, worker, lease_s=self.settings.lease_s)
        dispatcher = Dispatcher(self.jobs, self.redis, self.settings)
        registry = ModelRegistry(self.redis, Catalogue(self.settings.models_file), cache_s=0)
        deletions = Deletions(self.redis, self.files.storage, None, has_journal=False)
        eraser = Eraser(self.files, self.jobs, registry, deletions)
        return Reconciler(
            self.redis, self.jobs, self.files, leases, self.settings, dispatcher, eraser
        )

    async def add_files(self, count: int) -> None:
        """Add files that wait for their check."""
        for number in range(count):
            file = FileRecord(
                id=f"file-{number}",
                project_id="proj_a",
                created_at=1,
                filename="f",
                purpose=Purpose.FINE_TUNE,
                bytes=1,
                sha256="",
                status=FileStatus.UPLOADED,
            )
            await self.files.register(file)
            await self.files.checks.enqueue(file)

    async def add_jobs(self, count: int) -> None:
        """Add queued jobs."""
        for number in range(count):
            queued = {"status": Status.QUEUED, "queued_at": number}
            await self.jobs.create(running_job("proj_a").model_copy(update=queued))


@pytest.fixture
def site(redis: Client, settings: Settings) -> Site:
    return Site(redis, settings)


def gauge(status: str) -> float | None:
    return REGISTRY.get_sample_value("finetuned_jobs_unfinished", {"status": status})


async def commands_of_a_round(site: Site) -> int:
    async with work_of(site.redis) as work:
        await site.reconciler().once()
    return work.commands


async def test_a_round_costs_no_more_commands_for_more_records(site: Site):
    await site.add_files(FEW)
    await site.add_jobs(FEW)
    few = await commands_of_a_round(site)
    await site.redis.flushdb()
    await site.add_files(MANY)
    await site.add_jobs(MANY)
    assert await commands_of_a_round(site) == few


async def test_missing_entries_are_found_among_many(site: Site):
    await site.add_files(MANY)
    lost = queue.task_id("check_file", "file-77", 1)
    await queue.forget(site.redis, queue.CPU, "check_file", "file-77", 1)
    await site.reconciler().once()
    assert await site.redis.zscore(queue.CPU, lost) is not None
    assert await site.redis.zcard(queue.CPU) == MANY


async def test_one_worker_at_a_time_runs_a_round(site: Site):
    async with lead(site.redis, "repairs", every_s=0.001):
        with pytest.raises(Held):
            async with lead(site.redis, "repairs"):
                pass
        async with lead(site.redis, "cleanups"):
            pass
    await asyncio.sleep(0.05)
    async with lead(site.redis, "repairs", every_s=600):
        pass
    with pytest.raises(Held):
        async with lead(site.redis, "repairs", every_s=600):
            pass


async def test_workers_share_rounds_instead_of_running_one_each(site: Site):
    site.settings.reconcile_every_s = 600.0
    await site.add_files(50)
    await site.reconciler("a").run_round()
    async with work_of(site.redis) as work:
        await site.reconciler("b").run_round()
    assert work.keys_read < 20, "the records were read again"


async def test_a_round_that_failed_is_run_by_the_next_worker(site: Site):
    with pytest.raises(ValueError, match="a fault"):
        async with lead(site.redis, "repairs", every_s=600):
            raise ValueError("a fault")
    async with lead(site.redis, "repairs", every_s=600):
        pass


async def test_every_worker_shows_the_gauges_of_the_last_round(site: Site):
    gauges = (metrics.JOBS_UNFINISHED,)
    await load_gauges(site.redis, gauges)  # nothing was stored yet
    metrics.JOBS_UNFINISHED.cell(Status.QUEUED).set(7)
    await store_gauges(site.redis, gauges)
    metrics.JOBS_UNFINISHED.cell(Status.QUEUED).set(1)
    metrics.JOBS_UNFINISHED.cell("of an older version").set(1)
    await load_gauges(site.redis, gauges)
    assert gauge("queued") == 7
    assert gauge("of an older version") is None


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        ("finetuned:exports-swept", "exports"),
        ("finetuned:evals-deleted", "evals"),
        ("finetuned:batches-leftover", "batches"),
    ],
)
async def test_each_sweep_beats_and_an_error_with_one_does_not_keep_the_others(
    api: Api, monkeypatch: Any, key: str, folder: str
):
    """Thousands may wait for a slow storage, during which the worker's probe must not fail."""
    state, names = api.app.state, [f"x-{number}" for number in range(5)]
    steps: list[int] = []
    seen: list[tuple[str, int]] = []

    async def delete_prefix(prefix: str) -> None:
        seen.append((prefix, len(steps)))
        if prefix.endswith("x-0"):
            raise ValueError("a bug")

    monkeypatch.setattr(state.files.storage, "delete_prefix", delete_prefix)
    for name in names:
        if key.endswith("leftover"):
            await state.redis.zadd(key, {f"proj_a/{name}": 1})
        else:
            await state.redis.sadd(key, f"proj_a/{name}")
    reconciler = Reconciler(
        state.redis,
        state.jobs,
        state.files,
        Leases(state.redis, "me", lease_s=api.settings.lease_s),
        api.settings,
        Dispatcher(state.jobs, state.redis, api.settings),
        state.eraser,
        on_step=lambda: steps.append(1),
    )
    await reconciler.once()
    ours = [(prefix, beat) for prefix, beat in seen if f"/{folder}/x-" in prefix]
    assert sorted(prefix for prefix, _ in ours) == [f"proj_a/{folder}/{name}" for name in names]
    assert len({beat for _, beat in ours}) == len(names), "each is a step of its own"
