"""The previous release and this one run side by side under traffic: `make proof NAME=upgrade`.

The previous release is the commit that wrote the newest snapshot in `data`, or
FINETUNED_UPGRADE_FROM. Its code comes from the history of the repository, which a shallow clone
does not have, and runs with the packages of this version. As in a rolling upgrade, the old api and
worker run first, then both versions, then only the new one. Each request goes to any api that takes
requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.projects.records import Role
from service.standalone.services import free_port
from tests.conftest import BASE_MODEL
from tests.core.conftest import Valkey
from tests.faults.invariants import JOBS
from tests.upgrade.snapshot import FOLDER

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        "FINETUNED_UPGRADE" not in os.environ, reason="'make proof NAME=upgrade' runs it"
    ),
]
ROOT = Path(__file__).parent.parent.parent
VISITORS = 3
PHASE_S = 15.0
PATIENCE_S = 400.0


def previous() -> str:
    """Return the commit of the previous release."""
    if commit := os.environ.get("FINETUNED_UPGRADE_FROM"):
        return commit
    newest = max(FOLDER.glob("*.jsonl"), key=lambda path: [*map(int, path.stem.split("."))])
    log = ["git", "log", "-1", "--format=%H", "--", str(newest)]
    return subprocess.run(log, cwd=ROOT, capture_output=True, check=True, text=True).stdout.strip()


def unpack(commit: str, folder: Path) -> Path:
    """Write the code of a commit to a folder."""
    archive = folder / "old.tar"
    command = ["git", "archive", "--output", str(archive), commit, "service", "pyproject.toml"]
    subprocess.run(command, cwd=ROOT, check=True)
    with tarfile.open(archive) as packed:
        packed.extractall(folder / "old", filter="data")
    return folder / "old"


@dataclass
class Version:
    """The api and the worker of a version."""

    name: str
    code: Path
    env: dict[str, str]
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log(self, part: str) -> Path:
        return Path(self.env["FINETUNED_DATA_DIR"]) / f"{self.name}-{part}.log"

    async def start(self) -> None:
        """Start both, and wait until they are ready."""
        probe_port = free_port()
        env = self.env | {
            "PYTHONPATH": str(self.code),
            "FINETUNED_API_PORT": str(self.port),
            "FINETUNED_API_METRICS_PORT": str(free_port()),
            "FINETUNED_WORKER_PORT": str(probe_port),
            "FINETUNED_WORKER_NAME": self.name,
        }
        for part in ("api", "worker"):
            command = [sys.executable, "-m", "service.cli", part]
            with self.log(part).open("ab") as log:
                self.processes[part] = subprocess.Popen(
                    command, env=env, cwd=self.code, stdout=log, stderr=log
                )
        for url in (f"{self.url}/readyz", f"http://127.0.0.1:{probe_port}/readyz"):
            await self._until_ready(url)

    async def _until_ready(self, url: str) -> None:
        async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient() as http:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await http.get(url)).status_code == 200:
                        return
                for part, process in self.processes.items():
                    assert process.poll() is None, self.log(part).read_text("utf-8")
                await asyncio.sleep(0.2)

    async def stop(self) -> None:
        """Stop both as an upgrade does."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for part, process in self.processes.items():
            await asyncio.to_thread(process.wait, 120)
            assert process.returncode in (0, -signal.SIGTERM), self.log(part).read_text("utf-8")[
                -3000:
            ]

    def errors(self) -> list[str]:
        """Return the errors in the logs."""
        lines = [
            f"{self.name} {part}: {line}"
            for part in self.processes
            for line in self.log(part).read_text("utf-8").splitlines()
        ]
        return [line for line in lines if '"level": "ERROR"' in line or "Traceback" in line]


class Traffic:
    """Visitors, whose requests go to any of the apis in `pool`."""

    def __init__(self, key: str, rows: bytes) -> None:
        self.pool: list[str] = []
        self.failed: list[str] = []
        self.counts: Counter[str] = Counter()
        self.phase = ""
        self.ending = False
        self._rows = rows
        self._chance = random.Random(1)
        self._http = httpx.AsyncClient(
            headers={"authorization": f"Bearer {key}"}, timeout=PATIENCE_S
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """Send a request, and note it if it fails. Returns the JSON."""
        url = self._chance.choice(self.pool)
        self.counts[self.phase] += 1
        try:
            answer = await self._http.request(method, f"{url}{path}", **options)
        except httpx.HTTPError as e:
            self.failed.append(f"{self.phase}: {method} {path}: {e!r}")
            raise
        if answer.status_code != 200:
            self.failed.append(f"{self.phase}: {method} {path} {answer.status_code} {answer.text}")
            answer.raise_for_status()
        return answer.json()

    async def until(self, path: str, *statuses: str) -> Any:
        """Ask until the object has one of the statuses."""
        async with asyncio.timeout(PATIENCE_S):
            while (found := await self.ask("GET", path))["status"] not in statuses:
                await asyncio.sleep(0.2)
        return found

    async def upload(self, name: str) -> str:
        """Upload a file of rows and wait for its check. Returns its ID."""
        file = {"file": (f"{name}.jsonl", self._rows)}
        made = await self.ask("POST", "/v1/files", files=file, data={"purpose": "fine-tune"})
        await self.until(f"/v1/files/{made['id']}", "processed")
        return str(made["id"])

    async def visit(self, name: str) -> None:
        """Do what users do, in rounds, until the traffic ends."""
        number = 0
        while not self.ending:
            number += 1
            file = await self.upload(f"{name}-{number}")
            await self._change_job(file, f"{name}-{number}")
            await self._move_alias(f"{name}-alias")
            await self._send_parts(name)
            await self._change_eval(name)
            await self._make_key(name)
            for path in ("/v1/files", JOBS, "/v1/models", "/v1/aliases", "/v1/evals"):
                await self.ask("GET", path)
            await self.ask("DELETE", f"/v1/files/{file}")

    async def _change_job(self, file: str, key: str) -> None:
        body = {"model": BASE_MODEL, "training_file": file}
        headers = {"Idempotency-Key": key}
        made = [await self.ask("POST", JOBS, json=body, headers=headers) for _ in range(2)]
        assert made[0]["id"] == made[1]["id"]
        path = f"{JOBS}/{made[0]['id']}"
        await self.ask("POST", f"{path}/cancel")
        assert (await self.ask("GET", path))["status"] == "cancelled"
        assert (await self.ask("GET", f"{path}/events"))["data"]

    async def _move_alias(self, name: str) -> None:
        path = f"/v1/aliases/{name}"
        for model in (BASE_MODEL, "other-base"):
            await self.ask("PUT", path, json={"model": model})
        [target] = (await self.ask("POST", f"{path}/rollback"))["targets"]
        assert target["model"] == BASE_MODEL
        assert len((await self.ask("GET", f"{path}/history"))["data"]) >= 3
        await self.ask("DELETE", path)

    async def _send_parts(self, name: str) -> None:
        body = {"filename": name, "purpose": "user_data", "bytes": 8, "mime_type": "text/plain"}
        upload = (await self.ask("POST", "/v1/uploads", json=body))["id"]
        sent = [
            (await self.ask("POST", f"/v1/uploads/{upload}/parts", files={"data": part}))["id"]
            for part in (b"four", b"more")
        ]
        done = await self.ask("POST", f"/v1/uploads/{upload}/complete", json={"part_ids": sent})
        await self.ask("DELETE", f"/v1/files/{done['file']['id']}")

    async def _change_eval(self, name: str) -> None:
        schema = {"type": "object", "properties": {"q": {"type": "string"}}}
        grader = {
            "type": "string_check",
            "name": "same",
            "input": "{{item.q}}",
            "reference": "a",
            "operation": "eq",
        }
        source = {"type": "custom", "item_schema": schema}
        body = {"name": name, "data_source_config": source, "testing_criteria": [grader]}
        made = await self.ask("POST", "/v1/evals", json=body)
        path = f"/v1/evals/{made['id']}"
        await self.ask("POST", path, json={"name": f"{name} again"})
        assert (await self.ask("GET", path))["name"] == f"{name} again"
        await self.ask("DELETE", path)

    async def _make_key(self, name: str) -> None:
        projects = (await self.ask("GET", "/v1/organization/projects"))["data"]
        path = f"/v1/organization/projects/{projects[0]['id']}/api_keys"
        made = await self.ask("POST", path, json={"name": name})
        headers = {"authorization": f"Bearer {made['value']}"}
        await self.ask("GET", "/v1/files", headers=headers)
        await self.ask("DELETE", f"{path}/{made['id']}")


@pytest.fixture
async def env(tmp_path: Path, tiny_model_path: Path) -> AsyncIterator[dict[str, str]]:
    """The settings that both versions share, with a Redis and a storage."""
    store = Valkey(tmp_path / "valkey")
    (tmp_path / "data").mkdir()
    models = [
        {"id": name, "path": str(tiny_model_path), "license": "mit", "context_length": 512}
        for name in (BASE_MODEL, "other-base")
    ]
    (tmp_path / "models.yaml").write_text(json.dumps({"models": models}), "utf-8")
    yield os.environ | {
        "FINETUNED_REDIS_URL": store.url,
        "FINETUNED_STORAGE_URL": (tmp_path / "storage").as_uri(),
        "FINETUNED_DATA_DIR": str(tmp_path / "data"),
        "FINETUNED_MODELS_FILE": str(tmp_path / "models.yaml"),
        "FINETUNED_LEASE_S": "6",
        "FINETUNED_RECONCILE_EVERY_S": "1",
        "OMP_NUM_THREADS": "1",
    }
    store.close()


async def test_no_request_fails_while_a_release_replaces_another(env, tmp_path, chats):
    old = Version("old", unpack(previous(), tmp_path), env)
    new = Version("new", ROOT, env)
    await old.start()
    key = _make_key(old)
    traffic = Traffic(key, chats(20))
    try:
        traffic.pool, traffic.phase = [old.url], "old"
        hyperparameters = {"n_epochs": 50, "batch_size": 2}
        body = {
            "model": BASE_MODEL,
            "training_file": await traffic.upload("long"),
            "hyperparameters": hyperparameters,
        }
        job = f"{JOBS}/{(await traffic.ask('POST', JOBS, json=body))['id']}"
        await traffic.until(job, "running")
        visitors = [asyncio.create_task(traffic.visit(f"v{i}")) for i in range(VISITORS)]
        await asyncio.sleep(PHASE_S)
        await new.start()
        traffic.pool, traffic.phase = [old.url, new.url], "both"
        await asyncio.sleep(2 * PHASE_S)
        traffic.pool, traffic.phase = [new.url], "new"  # as a load balancer does before the stop
        await asyncio.sleep(1)
        await old.stop()
        done = await traffic.until(job, "succeeded", "failed", "cancelled")
        traffic.ending = True
        await asyncio.gather(*visitors)
        assert done["status"] == "succeeded", done
        assert done["attempt"] == 2, "the old worker did not hand it over"
    finally:
        traffic.ending = True
        for version in (old, new):
            for process in version.processes.values():
                process.kill()
                process.wait()
        await traffic.close()
        print(f"requests: {dict(traffic.counts)}, failed: {traffic.failed}")
    assert traffic.failed == []
    assert new.errors() == []
    print(*old.errors(), sep="\n")  # bugs of a release can no longer be fixed
    assert min(traffic.counts.values()) > 50


def _make_key(version: Version) -> str:
    """Create a key with a command of the version."""
    words = ["keys", "create", "--project", "acme", "--role", Role.ADMIN.value]
    command = [sys.executable, "-m", "service.cli", *words]
    env = version.env | {"PYTHONPATH": str(version.code)}
    done = subprocess.run(
        command, cwd=version.code, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
