"""Tests two real vLLM engines behind a gateway: one joins the other, and dies under load.

The model is tiny, because what it says does not matter if its adapters say different things.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from service.config import Settings
from service.core.redis import connect
from service.inference.upstreams import Timeouts
from service.inference.upstreams.replicas import Balancer
from service.models.catalogue import Catalogue
from service.models.registry import ModelRegistry
from service.standalone.services import free_port
from tests.inference.engine.support import (
    BASE,
    Engine,
    catalogued,
    name_of,
    register,
    settings_on,
    write_adapter,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ADAPTERS_EACH = 3
# Far more than a response takes, so that only a hanging request fails the test.
PATIENCE_S = 120.0


@dataclass
class Site:
    """What the two engines share, and the home engine of each adapter.

    The first of the engines is not running until a test starts it.
    """

    settings: Settings
    engines: tuple[Engine, Engine]
    homes: dict[str, Engine]

    def fetched_by(self, engine: Engine) -> int:
        """Return how many adapters this engine has fetched from storage."""
        folder = self.settings.adapter_cache / f"engine-{engine.port}"
        return sum(path.is_dir() for path in folder.iterdir())


@dataclass
class Asked:
    """A request and its outcome."""

    model: str
    began_at: float
    status: int
    code: str | None
    said: str


@dataclass
class _Address:
    url: str
    in_flight: int = 0


@pytest.fixture(scope="module")
def site(tiny_model_path, redis_url, tmp_path_factory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    settings = settings_on(
        folder,
        urlsplit(redis_url)._replace(path="/2").geturl(),
        max_loras=4,
        max_cpu_loras=8,
        max_lora_rank=8,
        max_model_len=1024,
        lookup_cache_s=0.1,
    )
    model = catalogued(settings, tiny_model_path)
    cores = sorted(os.sched_getaffinity(0))
    one, two = (
        # One core each: the threads of two engines on the same cores would block each other.
        Engine(
            settings,
            model,
            folder / f"engine-{i}.log",
            env={"VLLM_CPU_OMP_THREADS_BIND": str(cores[i % len(cores)])},
            port=port,
        )
        for i, port in enumerate((free_port(), free_port()))
    )
    engines = (one, two)
    homes = _names_with_homes(engines)
    asyncio.run(_fill(settings, homes, folder, tiny_model_path))
    with two:
        try:
            yield Site(settings, engines, homes)
        finally:
            one.stop()


def _names_with_homes(engines) -> dict[str, Engine]:
    """Return adapter names of which each engine is home to the same number."""
    by_url = {engine.url: engine for engine in engines}
    balancer = Balancer([(_Address(url), 1.0) for url in by_url], load_factor=1.25, spill_above=8)
    homes: dict[str, Engine] = {}
    count: defaultdict[str, int] = defaultdict(int)
    for i in range(1000):
        url = balancer.for_adapter(name_of(f"a{i}"))[0].url
        if count[url] < ADAPTERS_EACH:
            count[url] += 1
            homes[name_of(f"a{i}")] = by_url[url]
    assert [count[url] for url in by_url] == [ADAPTERS_EACH] * len(by_url)
    return homes


async def _fill(settings: Settings, names, folder: Path, base: Path) -> None:
    redis = connect(settings.redis_url.get_secret_value())
    await redis.flushdb()
    await redis.aclose(close_connection_pool=True)
    folders = {name: folder / "made" / str(i) for i, name in enumerate(names)}
    for seed, made in enumerate(folders.values()):
        write_adapter(made, base, seed=seed, rank=8, strength=0.5)
    await register(settings, folders)


@pytest.fixture
async def client(site, gateway):
    redis = connect(site.settings.redis_url.get_secret_value())
    models = ModelRegistry(redis, Catalogue(site.settings.models_file), cache_s=0.0)
    patient = Timeouts(connect_s=10, first_byte_s=PATIENCE_S, between_chunks_s=PATIENCE_S)
    urls = [engine.url for engine in site.engines]
    yield await gateway(urls, base=BASE, models=models, timeouts=patient)
    await redis.aclose(close_connection_pool=True)


async def ask(client, model: str, *, stream: bool = False) -> Asked:
    body = {"model": model, "messages": QUESTION, "max_tokens": 10, "temperature": 0}
    began_at = time.monotonic()
    async with asyncio.timeout(PATIENCE_S):
        async with client.post(json={**body, "stream": stream}) as response:
            if response.content_type == "text/event-stream":
                return _streamed(model, began_at, response.status, await response.read())
            answer = await response.json()
    if response.status != 200:
        return Asked(model, began_at, response.status, answer["error"]["code"], "")
    assert answer["model"] == model
    return Asked(model, began_at, 200, None, answer["choices"][0]["message"]["content"])


def _streamed(model: str, began_at: float, status: int, text: bytes) -> Asked:
    events = [line.removeprefix(b"data: ") for line in text.split(b"\n") if line.strip()]
    if events[-1] != b"[DONE]":
        code = json.loads(events[-1])["error"]["code"]
        return Asked(model, began_at, status, code, "")
    chunks = [json.loads(event) for event in events[:-1]]
    assert {chunk["model"] for chunk in chunks} == {model}
    said = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    return Asked(model, began_at, status, None, said)


async def served_by(client, engine: Engine) -> int:
    """Return how many requests the engine has answered since it started."""
    async with client.session.get(engine.url + "/metrics") as response:
        text = await response.text()
    lines = [x for x in text.splitlines() if x.startswith("vllm:request_success_total{")]
    return round(sum(float(line.rsplit(" ", 1)[1]) for line in lines))


async def ask_at_length(client, model: str, streaming: asyncio.Event) -> Asked:
    """Ask for a stream that takes seconds, and set the event once it has begun."""
    body = {"model": model, "messages": QUESTION, "max_tokens": 900, "temperature": 0}
    began_at = time.monotonic()
    async with asyncio.timeout(PATIENCE_S):
        async with client.post(json={**body, "stream": True}) as response:
            first = await response.content.readline()
            streaming.set()
            return _streamed(model, began_at, response.status, first + await response.read())


def no_model_spoke_for_another(asked: list[Asked]) -> None:
    said = defaultdict(set)
    for one in asked:
        if one.code is None:
            said[one.model].add(one.said)
    models = list(said)
    for i, model in enumerate(models):
        for other in models[i + 1 :]:
            assert said[model].isdisjoint(said[other]), (model, other)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.05)


async def until_both_serve(client) -> None:
    await until(lambda: _replicas("serving") == 2.0)
    assert await client.upstreams.ready() == {BASE: True}


def _replicas(state: str) -> float | None:
    from prometheus_client import REGISTRY

    return REGISTRY.get_sample_value(
        "finetuned_engine_replicas", {"base_model": BASE, "state": state}
    )


async def test_an_engine_that_joins_gets_its_adapters(site, client):
    joining, _ = site.engines
    asked = await asyncio.gather(*(ask(client, name) for name in [*site.homes, BASE] * 2))
    assert _replicas("starting") == 1.0
    with ThreadPoolExecutor(1) as thread:
        start = asyncio.get_running_loop().run_in_executor(thread, joining.__enter__)
        while not start.done():  # with traffic on the other one throughout
            asked += await asyncio.gather(*(ask(client, name) for name in site.homes))
            # An engine that is never idle can starve one that starts: seen
            # on two cores, one that had used less than a second of CPU after ninety seconds.
            await asyncio.sleep(3)
        await start
    await until_both_serve(client)
    before = [await served_by(client, engine) for engine in site.engines]
    for stream in (False, True):
        asked += await asyncio.gather(*(ask(client, name, stream=stream) for name in site.homes))
    assert {(one.status, one.code) for one in asked} == {(200, None)}
    no_model_spoke_for_another(asked)
    assert site.fetched_by(joining) == ADAPTERS_EACH
    after = [await served_by(client, engine) for engine in site.engines]
    assert [a - b for a, b in zip(after, before, strict=True)] == [2 * ADAPTERS_EACH] * 2


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_killed_engine_takes_only_what_was_sent_to_it(site, client):
    await until_both_serve(client)
    doomed, other = site.engines
    asked: list[Asked] = []
    stopping = asyncio.Event()

    async def load(model: str, stream: bool) -> None:
        while not stopping.is_set():
            asked.append(await ask(client, model, stream=stream))

    models = [*site.homes, BASE]
    callers = [asyncio.create_task(load(m, s)) for m in models for s in (False, True)]
    await until(lambda: {one.model for one in asked} == set(models))
    before = len(asked)
    assert {one.code for one in asked} == {None}
    # Short answers may all have ended at the moment of the kill; these have not.
    began = {name: asyncio.Event() for name, home in site.homes.items() if home is doomed}
    cut_off = [asyncio.create_task(ask_at_length(client, *one)) for one in began.items()]
    await asyncio.gather(*(event.wait() for event in began.values()))

    killed_at = time.monotonic()
    family = psutil.Process(doomed.process.pid).children(recursive=True)
    # Only the server: the processes that compute must notice by themselves.
    os.kill(doomed.process.pid, signal.SIGKILL)
    await asyncio.to_thread(doomed.process.wait)
    await until(lambda: not any(map(is_alive, family)))
    gone_at = time.monotonic()

    await until(lambda: {one.model for one in asked if one.began_at > gone_at} == set(models))
    stopping.set()
    await asyncio.gather(*callers)
    asked += await asyncio.gather(*cut_off)

    failed = [one for one in asked if one.code is not None]
    print(
        f"{len(asked)} requests, {before} before the kill, {len(failed)} lost; the engine took "
        f"{gone_at - killed_at:.2f} s to go"
    )
    assert failed, "nothing was in flight on the killed engine: the test has shown nothing"
    assert {one.code for one in failed} == {"engine_lost"}
    assert {one.status for one in failed} <= {503, 200}  # 200: a stream that had begun
    # Each caller loses at most the one request that it had there.
    assert len(failed) <= len(callers) + len(cut_off)
    assert max(one.began_at for one in failed) < gone_at
    after = [one for one in asked if one.began_at > gone_at]
    assert {one.model for one in after} == set(models)
    assert {one.code for one in after} == {None}
    no_model_spoke_for_another(asked)
    assert site.fetched_by(other) == 2 * ADAPTERS_EACH


async def test_without_it_everything_is_answered(site, client):
    """The gateway is new and has seen neither engine."""
    asked = await asyncio.gather(*(ask(client, name) for name in [*site.homes, BASE] * 2))
    assert {(one.status, one.code) for one in asked} == {(200, None)}
    assert _replicas("starting") == 1.0


async def test_an_engine_that_stops_ends_its_streams_and_refuses_others(site, client):
    """This test runs last, because nothing is running afterwards."""
    _, last = site.engines
    streaming = asyncio.Event()
    stream = asyncio.create_task(ask_at_length(client, BASE, streaming))
    await streaming.wait()
    last.process.terminate()
    codes: list[str | None] = []
    while codes[-1:] != ["engine_unavailable"]:  # never vLLM's own error
        assert not stream.done()
        asked = await ask(client, BASE)
        codes.append(asked.code)
        assert (asked.status, asked.code) in {(200, None), (503, "engine_unavailable")}
    answer = await stream
    assert (answer.status, answer.code) == (200, None)
    assert answer.said
    assert await asyncio.to_thread(last.process.wait, 60) == 0
