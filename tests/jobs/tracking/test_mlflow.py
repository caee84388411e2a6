"""A training whose metrics go to a real MLflow server. `make proof NAME=tracking`."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.config import Settings
from service.jobs.tracking.records import DUE
from service.standalone.services import free_port
from tests.jobs.test_jobs import create, upload
from tests.jobs.test_methods import all_events, ended
from tests.jobs.tracking.conftest import STEPS, Site
from tests.venvs import python_with

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(580),
    pytest.mark.skipif(
        os.environ.get("FINETUNED_TRACKING") != "1",
        reason="installs MLflow: 'make proof NAME=tracking' runs it",
    ),
]

STARTS_S = 120
SETTINGS = {"n_epochs": 3, "batch_size": 4, "quantization": "none", "lora": {"r": 8}}


@dataclass(frozen=True)
class Mlflow:
    """A place for a real server: its port is free until it is started."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """The tracking URI."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        """The database with the server's runs."""
        return self.folder / "mlflow.db"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the server."""
        python = python_with(Path(__file__).parent / "requirements.txt", "mlflow-venv")
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            server = subprocess.Popen(
                [
                    *(python, "-m", "mlflow", "server", "--workers", "1"),
                    *("--host", "127.0.0.1", "--port", str(self.port)),
                    *("--backend-store-uri", f"sqlite:///{self.database}"),
                    *("--artifacts-destination", str(self.folder / "artifacts")),
                ],
                cwd=self.folder,
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
                    "DO_NOT_TRACK": "true",
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                },
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield server
        finally:
            os.killpg(server.pid, 9)
            server.wait()
            print((self.folder / "log").read_text("utf-8")[-3000:])

    async def ready(self, server: subprocess.Popen[bytes]) -> None:
        """Wait until the server answers."""
        async with asyncio.timeout(STARTS_S), httpx.AsyncClient(verify=False) as http:
            while server.poll() is None:
                try:
                    if (await http.get(f"{self.url}/health")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.3)
        pytest.fail("MLflow did not start")

    async def get(self, path: str, **params: str) -> dict[str, Any]:
        """Ask the server."""
        async with httpx.AsyncClient(verify=False, timeout=60) as http:
            answer = await http.get(f"{self.url}/api/2.0/mlflow/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Return a metric's steps and values."""
        path = "metrics/get-history"
        found = await self.get(path, run_id=run_id, metric_key=metric, max_results="10000")
        return [(int(one["step"]), one["value"]) for one in found.get("metrics", [])]

    def runs(self) -> int:
        """Return how many runs the server has."""
        with sqlite3.connect(self.database) as database:
            return int(database.execute("SELECT count(*) FROM runs").fetchone()[0])


@pytest.fixture
def real(tmp_path: Path) -> Mlflow:
    """A real server that is not running yet."""
    return Mlflow(tmp_path / "mlflow", free_port())


@pytest.fixture
def settings(settings: Settings, real: Mlflow) -> Settings:
    """Settings that allow the real server."""
    return settings.model_copy(update={"mlflow_tracking_uris": (real.url,)})


@pytest.mark.usefixtures("forked_trainers", "tiny")
async def test_a_training_during_an_outage_of_the_server_ends_in_mlflow_with_every_metric(
    http, work, chats, real: Mlflow
):
    file_id = await upload(http, chats(40))
    async with work("cpu", "gpu"):
        made = await create(
            http,
            file_id,
            suffix="tracked",
            method={"type": "supervised", "supervised": {"hyperparameters": SETTINGS}},
            integrations=[
                {
                    "type": "mlflow",
                    "mlflow": {"experiment_name": "ร้านหนังสือ & 本屋", "tags": {"team": "support"}},
                }
            ],
        )
        job, events = await ended(http, made["id"])
        assert job["status"] == "succeeded", job["error"]
        with real.running() as server:
            await real.ready(server)
            run_id = await _run_id(http, made["id"])
            run = await _finished(real, run_id)
            steps = [e["data"] for e in events if e["type"] == "metrics"]
            assert len(steps) >= 10
            for name in ("train_loss", "learning_rate", "trained_tokens"):
                expected = [(data["step"], data[name]) for data in steps]
                assert await real.history(run_id, name) == expected
    assert real.runs() == 1
    info, data = run["info"], run["data"]
    assert info["run_name"] == job["id"]
    (started,) = [e for e in events if e["message"] == "Fine-tuning job started"]
    assert abs(info["start_time"] - started["created_at"] * 1000) <= 1000
    parameters = {one["key"]: one["value"] for one in data["params"]}
    assert {"lora.r": "8", "batch_size": "4", "training_file": file_id}.items() <= (
        parameters.items()
    )
    assert "auto" not in {parameters["learning_rate"], parameters["packing"]}
    tags = {one["key"]: one["value"] for one in data["tags"]}
    assert {"team": "support", "finetuned.job_id": job["id"], "mlflow.user": "acme"}.items() <= (
        tags.items()
    )
    assert tags["finetuned.fine_tuned_model"] == job["fine_tuned_model"]
    codes = [e["data"].get("code") for e in await all_events(http, job["id"])]
    assert codes.count("mlflow_unreachable") == 1
    assert b"Answer 3" not in real.database.read_bytes()


async def test_a_real_server_keeps_repeated_metrics_and_runs_once(site: Site, real: Mlflow):
    await site.train(1, STEPS)
    with real.running() as server:
        await real.ready(server)
        await site.turn()
        run = (await site.current()).mlflow_run
        assert run is not None
        assert run.run_id is not None
        # As after a worker that was killed before it stored what it had sent.
        records = site.tracker()._runs.records
        await records.update(
            "proj_a", site.job.id, lambda sent: sent.model_copy(update={"cursor": None})
        )
        forgotten = run.model_copy(update={"run_id": None})
        await site._change(lambda job: job.model_copy(update={"mlflow_run": forgotten}))
        await site.end()
        await site.turn()
        history = await real.history(run.run_id, "train_loss")
        assert [step for step, _ in history] == list(range(1, STEPS + 1))
        found = await real.get("runs/get", run_id=run.run_id)
        assert found["run"]["info"]["status"] == "FINISHED"
    assert real.runs() == 1
    assert await site.redis.zcard(DUE) == 0
    assert await site.events("warn") == []


async def _run_id(http: httpx.AsyncClient, job_id: str) -> str:
    async with asyncio.timeout(STARTS_S):
        while True:
            job = (await http.get(f"/v1/fine_tuning/jobs/{job_id}")).json()
            if (run_id := job["integrations"][0]["mlflow"]["run_id"]) is not None:
                return run_id
            await asyncio.sleep(0.3)


async def _finished(real: Mlflow, run_id: str) -> dict[str, Any]:
    async with asyncio.timeout(STARTS_S):
        while True:
            run = (await real.get("runs/get", run_id=run_id))["run"]
            if run["info"]["status"] == "FINISHED":
                return run
            await asyncio.sleep(0.3)
