"""Tests of `up` with a base model that cannot be loaded: the rest of the service runs."""

from __future__ import annotations

import json
import os
import signal
import socket
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
from service.standalone.ports import PortError, listen
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
@pytest.mark.parametrize("command", ["up", "api"])
def test_the_process_on_a_taken_port_is_named(command, tmp_path: Path, redis_url: str):
    with socket.create_server(("0.0.0.0", 0)) as other:
        number = other.getsockname()[1]
        words = cli("up", tmp_path / "data", number)
        env = os.environ | {
            "FINETUNED_API_PORT": str(number),
            "FINETUNED_REDIS_URL": redis_url,
            "FINETUNED_STORAGE_URL": (tmp_path / "storage").as_uri(),
        }
        done = subprocess.run(
            words if command == "up" else [*words[:3], "api"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=env,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"finetuned-server: port {number} is in use by " in done.stderr
    assert f"(pid {os.getpid()}): stop it, or choose another one with" in done.stderr


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("192.0.2.1", "'192.0.2.1' is not an address of this machine"),
        ("no such host", "'no such host' is not an address or a name of this machine"),
    ],
)
def test_an_address_of_another_machine_is_refused(host, words):
    with pytest.raises(PortError, match=words):
        listen(host, 0, "--port")


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="there is no IPv6 here")
def test_the_address_of_all_interfaces_includes_those_of_ipv4():
    (one,) = listen("::", 0, "--port")
    with one, socket.create_connection(("127.0.0.1", one.getsockname()[1]), timeout=60):
        pass


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
    output = log.read_text()
    assert f"gone is unavailable: vllm-gone keeps dying: {fault}; see {tmp_path}/logs" in output

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
