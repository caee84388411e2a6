"""Tests that an engine sleeps while a job trains and wakes up however the job ends.

Worker, trainer and the engine's guard are real. Behind the guard is a small server with vLLM's two
methods. tests/inference/engine/test_engine_turns_e2e.py uses the real engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from service.config import Settings
from service.inference.engine import process
from service.inference.engine.guard import EngineGuard
from service.jobs.attempt.gpu_lock import GpuLock
from service.models.catalogue import Catalogue
from tests.conftest import BASE_MODEL, Api, running
from tests.jobs.test_faults import LONG, event, rows
from tests.jobs.test_jobs import JOBS, create, until, upload
from tests.jobs.test_methods import ended

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_trainers")]

SHORT = {"n_epochs": 1, "batch_size": 4, "quantization": "none", "lora": {"r": 8}}


class Engine:
    """Stub for vLLM's methods that records the calls in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def sleep(self, level: int, mode: str) -> None:
        self.calls.append("sleep")

    async def wake_up(self) -> bool:
        self.calls.append("wake")
        return True

    async def add_request(self) -> None:
        """Take a request, which the guard notices."""

    def shutdown(self) -> None:
        """Stop, which the guard notices."""

    async def until(self, call: str) -> None:
        async with asyncio.timeout(60):
            while call not in self.calls:
                await asyncio.sleep(0.05)


@pytest.fixture
async def engine(settings, tiny, monkeypatch, adapted_vllm):
    """An engine of the tiny base model that shares its GPU in turns."""
    for name, value in engine_env(settings).items():
        monkeypatch.setenv(name, value)
    engine = Engine()
    process.adapters.cache_clear()

    async def answer(request):
        engine.calls.append((await request.json())["model"])
        return PlainTextResponse("no vLLM")

    app = Starlette(routes=[Route("/v1/completions", answer, methods=["POST"])])
    app.state.engine_client = engine
    app.state.openai_serving_models = SimpleNamespace(lora_requests={}, lora_resolver_lock={})
    app.add_middleware(EngineGuard)
    async with running(app) as url:
        settings.gpu_sharing = "time-slice"
        settings.upstreams = {BASE_MODEL: url}
        settings.upstream_api_key = SecretStr("inner")
        yield engine
    await process.adapters().close()
    process.adapters.cache_clear()


def engine_env(settings: Settings) -> dict[str, str]:
    base = Catalogue(settings.models_file).get(BASE_MODEL)
    assert base is not None
    return {
        "VLLM_API_KEY": "inner",
        "FINETUNED_GPU_SHARING": "time-slice",
        "FINETUNED_ENGINE_MODEL": BASE_MODEL,
        "FINETUNED_ENGINE_MODEL_PATH": str(base.path),
        "FINETUNED_REDIS_URL": settings.redis_url.get_secret_value(),
        "FINETUNED_STORAGE_URL": settings.storage_url,
        "FINETUNED_DATA_DIR": str(settings.data_dir),
        "FINETUNED_MODELS_FILE": str(settings.models_file),
    }


async def test_success_the_engine_is_awake_again_before_it_is_asked(engine, settings, http, work):
    job = await create(http, await upload(http, rows(12)), hyperparameters=SHORT)
    async with work("cpu", "gpu"):
        job, events = await ended(http, job["id"])
        await engine.until(job["fine_tuned_model"])  # warm-up
    assert job["status"] == "succeeded", job["error"]
    told = [e["message"] for e in events]
    assert "The engine sleeps while the job trains" in told
    model = job["fine_tuned_model"]
    assert engine.calls[:2] == ["sleep", "wake"]
    asked = engine.calls[2:]
    assert asked[0] == BASE_MODEL  # compared with the trainer
    assert asked[-1] == model
    assert set(asked) == {BASE_MODEL, model}
    assert len(list((settings.data_dir / "adapter-cache").glob("*.json"))) == 1


@pytest.mark.parametrize(("action", "status"), [("cancel", "cancelled"), ("pause", "paused")])
async def test_cancel_and_pause(engine, http, work, action, status):
    job = await create(http, await upload(http, rows(80)), hyperparameters=LONG)
    async with work("cpu", "gpu"):
        await event(http, job["id"], "Step 2/")
        assert engine.calls == ["sleep"]
        await http.post(f"{JOBS}/{job['id']}/{action}")
        await engine.until("wake")
        await until(http, job["id"], status)


async def test_failure(engine, api: Api, http, work):
    """The base model's folder is missing; the trainer reports it after the engine fell asleep."""
    job = await create(http, await upload(http, rows(12)), hyperparameters=SHORT)
    async with work("cpu"):
        await until(http, job["id"], "queued")
    models = api.settings.models_file
    models.write_text(models.read_text("utf-8").replace("path: ", "path: /nowhere"), "utf-8")
    async with work("gpu"):
        job, _ = await ended(http, job["id"])
    assert job["status"] == "failed"
    assert engine.calls == ["sleep", "wake"]


async def test_an_engine_that_is_away_does_not_hold_the_job_up(engine, api: Api, http, work):
    api.settings.upstreams = {BASE_MODEL: "http://127.0.0.1:9"}
    job = await create(http, await upload(http, rows(12)), hyperparameters=SHORT)
    async with work("cpu", "gpu"):
        job, events = await ended(http, job["id"])
    assert job["status"] == "succeeded", job["error"]
    assert any(e["data"].get("code") == "engine_awake" for e in events)
    assert engine.calls == []


async def test_an_engine_that_takes_no_turns_goes_on_serving(engine, settings):
    """For example an engine on a CPU, another replica of the same base model."""
    other = Starlette()
    async with running(other) as url:
        settings.upstreams = {BASE_MODEL: f"{settings.upstreams[BASE_MODEL]},{url}"}
        async with GpuLock(settings) as lock:
            assert lock.is_shared
            assert lock.awake == []
            assert engine.calls == ["sleep"]
    assert engine.calls == ["sleep", "wake"]


async def test_engines_behind_a_name_as_in_a_cluster_sleep_each(engine, settings):
    """The chart names engines by DNS. An engine that joins during the training sleeps too."""
    port = int(settings.upstreams[BASE_MODEL].rpartition(":")[2])
    addresses: list[str] = []

    async def look_up(host: str, asked: int) -> list[str]:
        assert (host, asked) == ("vllm-tiny.models.svc", port)
        if not addresses:
            raise OSError("no such name")
        return addresses

    settings.upstreams = {BASE_MODEL: f"dns+http://vllm-tiny.models.svc:{port}"}
    settings.lease_s = 0.3
    async with GpuLock(settings, look_up) as lock:
        assert lock.is_shared
        assert engine.calls == lock.awake == []
        addresses.append("127.0.0.1")
        await engine.until("sleep")
    assert engine.calls[-1] == "wake"


async def test_kill_9_of_the_worker(engine, api: Api, http, work):
    """Nothing notifies the engine: it wakes up after the worker's lease has expired."""
    job = await create(http, await upload(http, rows(80)), hyperparameters=LONG)
    async with work("cpu"):
        await until(http, job["id"], "queued")
    with worker_process(api) as worker:
        await event(http, job["id"], "Step 2/")
        assert engine.calls == ["sleep"]
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        await engine.until("wake")
    assert engine.calls == ["sleep", "wake"]


@contextlib.contextmanager
def worker_process(api: Api):
    """Run `finetuned-server worker` with the api's settings."""
    s = api.settings
    env = {
        **os.environ,
        **engine_env(s),
        "FINETUNED_LEASE_S": "2",
        "FINETUNED_WORKER_PORT": "0",
        "FINETUNED_UPSTREAMS": f'{{"{BASE_MODEL}": "{s.upstreams[BASE_MODEL]}"}}',
        "FINETUNED_UPSTREAM_API_KEY": "inner",
    }
    worker = subprocess.Popen([sys.executable, "-m", "service.cli", "worker"], env=env)
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()
