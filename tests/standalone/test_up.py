"""Tests of `up` with a base model that cannot be loaded: the rest of the service runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import redis

from service.fleet.capacity import own_gpus
from service.standalone.services import free_port, running_store

PATIENCE_S = 240.0


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def up(tmp_path: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`finetuned-server up` with a single base model that has no folder."""
    (tmp_path / "models.yaml").write_text(
        f"models:\n- {{id: gone, path: {tmp_path}/gone, license: mit, context_length: 2048, "
        "parameters: 1000}\n"
    )
    with (tmp_path / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [*cli("up", tmp_path, port), "--no-demo-model"], stdout=log, stderr=log
        )
    yield process
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=120)


def cli(command: str, data_dir: Path, port: int) -> list[str]:
    options = ["--data-dir", str(data_dir), "--port", str(port)]
    return [sys.executable, "-m", "service.cli", command, *options]


def wait(for_it: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not for_it():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


@pytest.mark.slow
def test_the_service_runs_and_shows_the_model_as_unavailable(up, tmp_path: Path, port: int):
    log = tmp_path / "up.log"
    wait(lambda: "ready after" in log.read_text(), up, log)
    if not own_gpus():
        at_once = {
            child.environ()["FINETUNED_ENGINE_REQUESTS_AT_ONCE"]
            for child in psutil.Process(up.pid).children()
            if child.cmdline()[-1:] == ["api"]
        }
        assert at_once in [{str(n)} for n in range(8, 17)]
    fault = f"the base model 'gone' cannot be loaded: there is no folder {tmp_path}/gone"
    told = log.read_text()
    assert f"gone is unavailable: vllm-gone keeps dying: {fault}; see {tmp_path}/logs" in told

    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}/v1",
        headers={"authorization": f"Bearer {(tmp_path / 'api-key').read_text().strip()}"},
        timeout=60,
    ) as http:
        models = http.get("/models").json()["data"]
        assert [(m["id"], m["available"]) for m in models] == [("gone", False)]
        messages = [{"role": "user", "content": "hi"}]
        chat = http.post("/chat/completions", json={"model": "gone", "messages": messages})
        assert chat.status_code == 503
        assert http.get("/files").status_code == 200
        entries = http.get("/organization/audit_logs").json()["data"]
        made = [(entry["type"], entry["actor"]["session"]["user"]["id"]) for entry in entries]
        assert made == [("api_key.created", "operator"), ("project.created", "operator")]

    doctor = subprocess.run(
        [*cli("doctor", tmp_path, port), "--json"], capture_output=True, check=False, env=os.environ
    )
    findings = {f["what"]: f for f in json.loads(doctor.stdout)}
    found = findings["engine of gone"]
    assert (found["level"], "no folder" in found["found"]) == ("missing", True)
    assert "FINETUNED_AUDIT_WITNESS_URL" in findings["audit log"]["how"]
    assert (tmp_path / "signing-key.pem").stat().st_mode & 0o777 == 0o600
    with redis.Redis.from_url(running_store(tmp_path) or "") as store:
        assert not store.exists("finetuned:signing-key")
    assert up.poll() is None
