"""An installation with two of each process, which share only Redis, S3 and base models.

Each process has its own home, working folder, temporary files and data folder, as if it ran on its
own machine. All of them can read the catalog file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import yaml

from service.standalone.services import free_port
from service.standalone.up import DEMO_MODEL
from tests.conftest import signing_key
from tests.core.conftest import Valkey
from tests.e2e.conftest import START_S, wait_for
from tests.e2e.seaweed import BUCKET, Seaweed
from tests.inference.engine.support import ENGINE_KEY

_PROGRAM = str(Path(sys.executable).with_name("finetuned-server"))


@dataclass
class Node:
    """A process on a simulated machine."""

    name: str
    folder: Path
    words: list[str]
    env: dict[str, str]
    port: int
    probe: str
    core: int | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def metrics_url(self) -> str:
        """Metrics address of an api."""
        return f"http://127.0.0.1:{self.env['FINETUNED_API_METRICS_PORT']}/metrics"

    @property
    def log(self) -> str:
        """Return everything that the process has logged, in all runs."""
        file = self.folder / "log"
        return file.read_text("utf-8", "replace") if file.exists() else ""

    def launch(self) -> None:
        """Start the process without waiting until it is ready."""
        own = {"HOME": "home", "TMPDIR": "tmp", "FINETUNED_DATA_DIR": "data"}
        work = self.folder / "work"
        for name in (*own.values(), work.name):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        env = bare_environment() | self.env | {k: str(self.folder / v) for k, v in own.items()}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [_PROGRAM, *self.words],
                env=env,
                cwd=work,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self.core is not None:
            # The threads of two engines on the same cores would block each other.
            os.sched_setaffinity(self.process.pid, {self.core})

    def until_ready(self, timeout_s: float = START_S) -> None:
        """Wait until the readiness probe succeeds."""
        wait_for(self._ready, timeout_s, f"readiness of {self.name}")

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        self.launch()
        self.until_ready()

    def kill(self) -> None:
        """Kill the process with `kill -9`, and wait until it and its children are gone."""
        assert self.process is not None
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        _, alive = psutil.wait_procs(family, 60)
        assert not alive, f"{self.name} left {alive}"

    def terminate(self) -> None:
        """Ask the process to stop, and do not wait."""
        assert self.process is not None
        self.process.terminate()

    def until_ended(self, timeout_s: float) -> None:
        """Wait until the process has ended."""
        assert self.process is not None
        self.process.wait(timeout_s)

    def close(self) -> None:
        """Stop the process and all processes that it started."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended:\n{self.log[-3000:]}"
        return httpx.get(f"{self.url}{self.probe}", timeout=60).status_code == 200


def bare_environment() -> dict[str, str]:
    """Return this process's environment, without variables that would connect two nodes."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("FINETUNED_", "AWS_"))}


@dataclass
class Site:
    """Redis, S3, and two each of api, worker and engine."""

    folder: Path
    base: Path
    store: Valkey
    storage: Seaweed | None
    """S3, if the site does not keep its objects in a folder."""
    apis: list[Node] = field(default_factory=list)
    workers: list[Node] = field(default_factory=list)
    engines: list[Node] = field(default_factory=list)
    key: str = ""
    env: dict[str, str] = field(default_factory=dict)
    """More variables of all processes."""
    context_length: int = 2048

    @property
    def s3(self) -> Seaweed:
        """Return the storage of a site that has S3."""
        assert self.storage is not None
        return self.storage

    @property
    def nodes(self) -> list[Node]:
        return [*self.engines, *self.apis, *self.workers]

    def start(self) -> None:
        """Start all processes and wait until each is ready."""
        self.write_catalogue()
        cores = sorted(os.sched_getaffinity(0))
        ports = [free_port() for _ in range(6)]
        for i, port in enumerate(ports[:2]):
            words = ["inference", DEMO_MODEL, "--port", str(port)]
            core, env = cores[i % len(cores)], {"AWS_ACCESS_KEY_ID": self.s3.reader}
            self.engines.append(self.node(f"engine-{i}", words, port, "/health", env, core))
        # Apis and workers know engines only by their addresses.
        upstreams = {DEMO_MODEL: ",".join(engine.url for engine in self.engines)}
        told = {"FINETUNED_UPSTREAMS": json.dumps(upstreams)}
        key = signing_key(self.folder)
        for i in range(2):
            port, name = ports[2 + i], f"api-{i}"
            env = told | {"FINETUNED_API_PORT": str(port)}
            self.apis.append(self.node(name, ["api"], port, "/livez", env))
            port, name = ports[4 + i], f"worker-{i}"
            env = told | {"FINETUNED_WORKER_PORT": str(port), "FINETUNED_WORKER_NAME": name}
            env["FINETUNED_SIGNING_KEY_FILE"] = str(key)
            self.workers.append(self.node(name, ["worker"], port, "/readyz", env))
        self.make_key()
        for node in self.nodes:
            node.launch()
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(Node.until_ready, self.nodes))
        wait_for(self.serves, 60, "both engines being seen by both apis")

    def close(self) -> None:
        """Stop all processes."""
        with ThreadPoolExecutor(len(self.nodes) or 1) as pool:
            list(pool.map(Node.close, self.nodes))
        self.store.close()
        if self.storage:
            self.storage.close()

    def client(self, api: Node, **options: Any) -> openai.OpenAI:
        """Return the official SDK, connected to one of the apis."""
        return openai.OpenAI(base_url=f"{api.url}/v1", api_key=self.key, **options)

    def serves(self) -> bool:
        """Return whether each api considers both engines healthy."""
        line = re.compile(r'finetuned_engine_replicas\{[^}]*state="serving"[^}]*\} 2\.0')
        return all(line.search(httpx.get(api.metrics_url).text) for api in self.apis)

    def trainer_of(self, job_id: str) -> Node | None:
        """Return the worker that started the job's latest attempt."""
        begun: list[tuple[str, Node]] = []
        for worker in self.workers:
            for line in worker.log.splitlines():
                if "begins" in line and job_id in line:
                    said = json.loads(line)
                    begun.append((said["message"], worker))
        return max(begun, key=lambda b: b[0])[1] if begun else None

    def logs(self) -> str:
        """Return the end of each log, for a failed test."""
        return "\n".join(f"=== {n.name}\n" + n.log[-3000:] for n in self.nodes)

    def node(
        self,
        name: str,
        words: list[str],
        port: int,
        probe: str,
        env: dict[str, str] | None = None,
        core: int | None = None,
    ) -> Node:
        folder = self.folder / name
        folder.mkdir()
        mine = self._env() | (env or {}) | {"FINETUNED_MODELS_FILE": str(self.models)}
        mine["FINETUNED_API_METRICS_PORT"] = str(free_port())
        return Node(name, folder, words, mine, port, probe, core)

    @property
    def models(self) -> Path:
        """Write the catalog file."""
        return self.folder / "models.yaml"

    def write_catalogue(self) -> None:
        entry = {
            "id": DEMO_MODEL,
            "path": str(self.base),
            "license": "apache-2.0",
            "context_length": self.context_length,
            "languages": ["en"],
            "parameters": 134_515_008,
        }
        self.models.write_text(yaml.safe_dump({"models": [entry]}), "utf-8")

    def _env(self) -> dict[str, str]:
        return {
            "FINETUNED_REDIS_URL": self.store.url,
            "FINETUNED_STORAGE_URL": f"s3://{BUCKET}/site",
            "FINETUNED_UPSTREAM_API_KEY": ENGINE_KEY,
            "FINETUNED_LEASE_S": "6",
            "FINETUNED_RECONCILE_EVERY_S": "1",
            "FINETUNED_MAX_LORAS": "4",
            "FINETUNED_MAX_LORA_RANK": "16",
            "FINETUNED_MAX_MODEL_LEN": "1024",
            "FINETUNED_STOP_GRACE_S": "5",
            "FINETUNED_MAX_FILE_BYTES": str(128 * 1024 * 1024),
            **(self.storage.env() if self.storage else {}),
            **self.env,
        }

    def make_key(self) -> None:
        """Create the key that clients use."""
        self.key = self.run("keys", "create", "--project", "acme", "--role", "admin").strip()

    def run(self, *words: str) -> str:
        """Run an operator command and return its output."""
        done = subprocess.run(
            [_PROGRAM, *words],
            env=bare_environment() | self._env() | {"FINETUNED_MODELS_FILE": str(self.models)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
