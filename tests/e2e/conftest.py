"""The real stack: `finetuned-server up` as its own process, with the demo model."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import openai
import psutil
import pytest
import yaml

from service.standalone.up import DEMO_MODEL

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
START_S = 240.0


def wait_for(check: Callable[[], object], timeout_s: float, what: str) -> object:
    """Ask until `check` answers something true; what it answered is returned."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError, openai.APIConnectionError):
            if found := check():
                return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {timeout_s:.0f} s")


@dataclass
class Stack:
    """One standalone installation, running or not."""

    data_dir: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return (self.data_dir / "api-key").read_text().strip()

    def start(self) -> None:
        """Start `up` and wait until all parts serve."""
        env = os.environ | {
            "FINETUNED_LEASE_S": "6",
            "FINETUNED_RECONCILE_EVERY_S": "1",
            "FINETUNED_STOP_GRACE_S": "30",
        }
        with (self.data_dir / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, env=env, cwd=ROOT, start_new_session=True
            )
        wait_for(self.ready, START_S, "readiness of the stack")

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "service.cli", "up"),
            *("--data-dir", str(self.data_dir), "--port", str(self.port)),
        ]

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"`up` ended with {self.process.returncode}"
        return httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End `up` by a signal."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=120)

    def pid_of(self, words: str) -> int:
        """The one process of this stack whose command line holds `words`."""
        assert self.process is not None
        found = [
            child.pid
            for child in psutil.Process(self.process.pid).children(recursive=True)
            if words in " ".join(_cmdline(child))
        ]
        assert found, f"no process with {words!r}"
        return found[0]

    def engine_port(self) -> int:
        """Where the base model's vLLM listens."""
        words = _cmdline(psutil.Process(self.pid_of("vllm.entrypoints")))
        return next(int(word[7:]) for word in words if word.startswith("--port="))

    def all_pids(self) -> list[int]:
        """`up` and everything it started."""
        assert self.process is not None
        top = psutil.Process(self.process.pid)
        return [top.pid, *(child.pid for child in top.children(recursive=True))]

    def client(self, **options: object) -> openai.OpenAI:
        """The official SDK, unmodified."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key, **options)

    def logs(self) -> str:
        """The tail of every log, for a failed test."""
        parts = [self.data_dir / "up.log", *sorted((self.data_dir / "logs").glob("*.log"))]
        return "\n".join(
            f"=== {p.name}\n" + "\n".join(p.read_text("utf-8", "replace").splitlines()[-25:])
            for p in parts
            if p.exists()
        )


def _cmdline(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return process.cmdline()
    return []


def alive(pids: list[int]) -> list[int]:
    """Those of `pids` that still run (a zombie does not)."""
    running = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                running.append(pid)
    return running


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, demo_model_path: Path) -> Iterator[Stack]:
    """A running stack, for all end-to-end tests of the session."""
    data_dir = tmp_path_factory.mktemp("stack")
    entry = {
        "id": DEMO_MODEL,
        "path": str(demo_model_path),
        "license": "apache-2.0",
        "context_length": 2048,
        "languages": ["en"],
        "parameters": 134_515_008,
    }
    (data_dir / "models.yaml").write_text(yaml.safe_dump({"models": [entry]}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stack = Stack(data_dir, port)
    try:
        stack.start()
        yield stack
    finally:
        if stack.process is not None and stack.process.poll() is None:
            stack.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """Put the servers' logs under a failed test."""
    outcome = yield
    report = outcome.get_result()
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        report.sections.append(("stack logs", stack.logs()))


@pytest.fixture(scope="session")
def sdk(stack: Stack) -> Iterator[openai.OpenAI]:
    """The official OpenAI SDK on the stack."""
    with stack.client() as client:
        yield client
