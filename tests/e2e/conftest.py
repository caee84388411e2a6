"""The real stack: `finetuned-server up` as a process.

`stack` serves the demo model and is shared by the whole session. `bare_stack` trains a tiny model
that no engine serves. It starts and stops within seconds, for tests that kill its processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import finetuned
import httpx
import openai
import psutil
import pytest
import yaml
from finetuned.types import TrainingAdvice
from openai.types.fine_tuning import FineTuningJob, SupervisedHyperparametersParam

from service.standalone.services import free_port
from service.standalone.up import DEMO_MODEL
from tests.cached import ROOT
from tests.e2e.collector import Collector, collecting
from tests.e2e.hooks import Hooks, receiving

TINY_MODEL = "tiny"
# Threads synchronize at every operation, which is slow if other tests use the cores.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": str(min(os.sched_getaffinity(0))),
}
EXAMPLES = ROOT / "examples"
# Enough for the voice in all six answers, with five times the usual learning rate. The table of
# docs/exports.md, from the proof `exports`, is of a model trained on twice the rows with whole
# answers, in twice the steps. It takes more than a minute of CPU more, with its evaluation.
_OF_THE_TABLE = os.environ.get("FINETUNED_ALL_EXPORTS") == "1"
VOICE_ROWS = 48 if _OF_THE_TABLE else 24
ADVISED_ROWS = 10  # the fewest that make a job; a third of them is asked
HELD_OUT_ROWS = 8 if _OF_THE_TABLE else 2
VOICE_WORDS = None if _OF_THE_TABLE else 10
VOICE_CHOSEN: SupervisedHyperparametersParam = {
    "n_epochs": 2,
    "batch_size": 8,
    "learning_rate_multiplier": 3 if _OF_THE_TABLE else 5,
}
VOICE = "ahoy"
QUESTIONS = (EXAMPLES / "held-out-questions.txt").read_text("utf-8").splitlines()
START_S = 240.0
# The span of a caller, of which the training of `tuned` is a part.
CALLER_TRACE, CALLER_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"}


T = TypeVar("T")


def wait_for(check: Callable[[], T | Literal[False] | None], timeout_s: float, what: str) -> T:
    """Call `check` until it returns a true value, and return that value."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError, openai.APIConnectionError):
            if found := check():
                return found
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {timeout_s:.0f} s")


@dataclass
class Stack:
    """A standalone installation, running or stopped."""

    data_dir: Path
    port: int
    env: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return (self.data_dir / "api-key").read_text().strip()

    def start(self) -> None:
        """Start `up` and wait until all components are ready."""
        env = os.environ | {
            "FINETUNED_LEASE_S": "6",
            "FINETUNED_RECONCILE_EVERY_S": "1",
            "FINETUNED_STOP_GRACE_S": "30",
            **self.env,
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
        answer = httpx.get(f"{self.url}/readyz", timeout=60)
        return answer.status_code == 200 and answer.json()["status"] == "ok"

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop `up` with a signal."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=120)

    def pid_of(self, words: str) -> int:
        """Return the only process of this stack whose command line contains `words`."""
        assert self.process is not None
        found = [
            child.pid
            for child in psutil.Process(self.process.pid).children(recursive=True)
            if words in " ".join(_cmdline(child))
        ]
        assert found, f"no process with {words!r}"
        return found[0]

    def metrics_of(self, part: str) -> str:
        """Return the address at which `worker` or the api (`metrics`) serves its metrics."""
        printed = (self.data_dir / "up.log").read_text("utf-8")
        return re.findall(rf"^{part} +(127\.0\.0\.1:\d+)", printed, re.MULTILINE)[-1]

    def engine_port(self) -> int:
        """Return the port of the base model's vLLM."""
        words = _cmdline(psutil.Process(self.pid_of("inference.engine.server")))
        return next(int(word[7:]) for word in words if word.startswith("--port="))

    def all_pids(self) -> list[int]:
        """Return `up` and all processes that it started."""
        assert self.process is not None
        top = psutil.Process(self.process.pid)
        return [top.pid, *(child.pid for child in top.children(recursive=True))]

    def client(self, **options: Any) -> openai.OpenAI:
        """Return the unmodified official SDK."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key, **options)

    def logs(self) -> str:
        """Return the end of each log, for a failed test."""
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
    """Return the `pids` that are still running. Zombies do not count."""
    running = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                running.append(pid)
    return running


@contextmanager
def started(data_dir: Path, model: Mapping[str, object], **env: str) -> Iterator[Stack]:
    """A stack with one base model in its catalog."""
    facts = {"license": "apache-2.0", "context_length": 2048, "languages": ["en"]}
    entry = {**facts, "created_at": int(time.time()), **model}
    (data_dir / "models.yaml").write_text(yaml.safe_dump({"models": [entry]}))
    stack = Stack(data_dir, free_port(), env)
    try:
        stack.start()
        yield stack
    finally:
        if stack.process is not None and stack.process.poll() is None:
            stack.stop()


@pytest.fixture(scope="session")
def spans() -> Iterator[Collector]:
    """The spans of `stack`."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="session")
def hooks() -> Iterator[Hooks]:
    """The only server that `stack` may send webhooks to."""
    with receiving() as hooks:
        yield hooks


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory, demo_model_path: Path, spans: Collector, hooks: Hooks
) -> Iterator[Stack]:
    """A running stack for all end-to-end tests of the session."""
    model = {"id": DEMO_MODEL, "path": str(demo_model_path), "parameters": 134_515_008}
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": spans.url,
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "FINETUNED_ADAPTER_SWEEP_S": "2",
        "FINETUNED_WEBHOOK_ALLOWED_HOSTS": hooks.host,
        "FINETUNED_EVALUATION_ROWS": "1",
        "FINETUNED_EVALUATION_CHECKPOINTS": "1",
        **ONE_THREAD,
    }
    with started(tmp_path_factory.mktemp("stack"), model, **env) as stack:
        yield stack


@pytest.fixture(scope="module")
def bare_stack(tmp_path_factory: pytest.TempPathFactory, tiny_model_path: Path) -> Iterator[Stack]:
    """A running stack without an engine, for the tests of one module."""
    model = {"id": TINY_MODEL, "path": str(tiny_model_path), "served": False}
    with started(tmp_path_factory.mktemp("bare-stack"), model, **ONE_THREAD) as stack:
        yield stack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Append the servers' logs to the report of a failed test."""
    report = yield
    for found in getattr(item, "funcargs", {}).values():
        if report.failed and isinstance(found, Stack):
            report.sections.append(("stack logs", found.logs()))
    return report


@pytest.fixture(scope="session")
def sdk(stack: Stack) -> Iterator[openai.OpenAI]:
    """The official OpenAI SDK, connected to the stack."""
    with stack.client() as client:
        yield client


def rows_with_a_voice(file: str, count: int) -> bytes:
    """Return the first rows of an example file, with the first words of their answers."""
    rows = [json.loads(line) for line in (EXAMPLES / file).read_text("utf-8").splitlines()[:count]]
    for row in rows:
        answer = row["messages"][-1]
        answer["content"] = " ".join(answer["content"].split()[:VOICE_WORDS])
    return "\n".join(map(json.dumps, rows)).encode()


@pytest.fixture(scope="session")
def training_file(sdk: openai.OpenAI) -> str:
    """The id of a training file with a voice."""
    rows = rows_with_a_voice("lighthouse-bookshop.jsonl", VOICE_ROWS)
    file = sdk.files.create(file=("rows.jsonl", rows), purpose="fine-tune")
    sdk.files.wait_for_processing(file.id, poll_interval=0.2)
    return file.id


@pytest.fixture(scope="session")
def advice(
    stack: Stack, chats: Callable[[int], bytes], tmp_path_factory: pytest.TempPathFactory
) -> TrainingAdvice:
    """Advice on a file that is deleted by now."""
    rows = tmp_path_factory.mktemp("advice") / "rows.jsonl"
    rows.write_bytes(chats(ADVISED_ROWS))
    with finetuned.Client(api_key=stack.key, base_url=stack.url) as client:
        file = client.files.create(rows)
        made = client.advice.create_and_wait(
            model=DEMO_MODEL, training_file_id=file.id, timeout_s=400
        )
        client.files.delete(file.id)
    return made


@pytest.fixture(scope="session")
def prometheus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Prometheus that scrapes the stack; None if it is not installed."""
    from tests.e2e.prometheus import scraping

    binary = shutil.which("prometheus")
    if binary is None:
        yield None
        return
    targets = {
        "api": f"http://{stack.metrics_of('metrics')}",
        "worker": f"http://{stack.metrics_of('worker')}",
        "inference": f"http://127.0.0.1:{stack.engine_port()}",
    }
    alerts = ROOT / "helm" / "finetuned" / "files" / "alerts.yaml"
    with scraping(binary, tmp_path_factory.mktemp("prometheus"), targets, alerts) as server:
        yield server


@pytest.fixture(scope="session")
def tuned(sdk: openai.OpenAI, training_file: str, prometheus: object) -> FineTuningJob:
    """A job that has succeeded, for all tests that need a trained model. It is evaluated, too.

    Prometheus observes it, for the panels about trainings.
    """
    held_out = rows_with_a_voice("lighthouse-bookshop.validation.jsonl", HELD_OUT_ROWS)
    validation = sdk.files.create(file=("held-out.jsonl", held_out), purpose="fine-tune")
    job = sdk.fine_tuning.jobs.create(
        model=DEMO_MODEL,
        training_file=training_file,
        validation_file=validation.id,
        suffix="lighthouse",
        seed=7,
        method={"type": "supervised", "supervised": {"hyperparameters": VOICE_CHOSEN}},
        extra_headers=TRACEPARENT,
    )
    done = wait_for(
        lambda: (
            (j := sdk.fine_tuning.jobs.retrieve(job.id)).status in ("succeeded", "failed") and j
        ),
        600,
        "the end of the training",
    )
    assert done.status == "succeeded", done.error
    return done
