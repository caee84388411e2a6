"""Tests of engines that are added and removed while others serve."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import pytest

from service.config import Settings
from service.core.errors import Unavailable
from service.inference.upstreams import Upstreams
from service.inference.upstreams.health import Policy
from service.inference.upstreams.replicas import Balancer
from tests.inference.conftest import BASE, BOTH_WAYS


@dataclass
class Loaded:
    """A replica as the balancer sees it."""

    url: str
    in_flight: int = 0


CHAT = {"model": BASE, "messages": [{"role": "user", "content": "hi"}]}


async def test_models_are_added_and_removed_while_others_are_served(
    serve_engine, ask, until, tmp_path
):
    first, second = await serve_engine(), await serve_engine()
    file = tmp_path / "upstreams.json"

    def write(**urls: str) -> None:
        part = file.with_suffix(".part")
        part.write_text(json.dumps(urls))
        part.replace(file)

    write(tiny=first.url)
    settings = Settings(upstreams_file=file, upstreams={"fixed": second.url})
    async with Upstreams.from_settings(settings) as gateway:
        assert (gateway.serves("other"), await gateway.ready()) == (
            False,
            {"fixed": True, "tiny": True},
        )
        kept = gateway.replicas()
        write(tiny=first.url, other=second.url)
        await until(lambda: gateway.serves("other"))
        assert gateway.replicas()[:2] == kept
        first.go.clear()
        running = asyncio.create_task(ask(gateway, base="tiny"))
        await until(lambda: first.seen)
        write(other=f"{second.url},{first.url}")
        await until(lambda: not gateway.serves("tiny"))
        first.go.set()
        assert await running == (200, b"ok")
        await until(lambda: len(gateway.replicas()) == 3)
        urls = settings.engine_urls
        file.write_text("{")
        assert settings.engine_urls == urls  # also for tasks of workers
        await asyncio.sleep(2.5)
        assert len(gateway.replicas()) == 3
        with pytest.raises(ValueError, match=r"upstreams\.json is not JSON such as"):
            _ = Settings(upstreams_file=file).engine_urls
        with pytest.raises(Unavailable, match="No engine serves 'tiny'"):
            await ask(gateway, base="tiny")


@BOTH_WAYS
async def test_requests_wait_for_an_engine_that_was_scaled_to_zero(gateway, engine, until):
    """The name of the engines has no addresses until one starts."""
    addresses: list[str] = []

    async def resolve(_: str, __: int) -> list[str]:
        if not addresses:
            raise OSError("no such name")
        return addresses

    port = urlsplit(engine.url).port
    policy = Policy(probe_every_s=0.05, dns_every_s=0.05, start_wait_s=60)
    client = await gateway([f"dns+http://engines:{port}"], policy=policy, resolve=resolve)
    asking = [asyncio.create_task(client.ask(json=CHAT)) for _ in range(3)]
    await until(lambda: waiting() == 3)
    addresses.append("127.0.0.1")
    assert await asyncio.gather(*asking) == [b'{"ok": true}'] * 3
    assert waiting() == 0


@BOTH_WAYS
async def test_without_an_engine_in_time_it_is_503_with_retry_after(gateway, closed_port):
    policy = Policy(start_wait_s=0.2)
    client = await gateway([f"http://127.0.0.1:{closed_port}"], policy=policy)
    async with client.post(json=CHAT) as response:
        assert (response.status, response.headers["retry-after"]) == (503, "10")
        assert (await response.json())["error"]["code"] == "engine_unavailable"


def waiting() -> float:
    from prometheus_client import REGISTRY

    name, labels = "finetuned_engine_waiting_requests", {"base_model": BASE}
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_new_engine_loads_its_adapters_that_were_in_use(serve_engine, ask, until):
    first, second = await serve_engine(), await serve_engine()
    second.healthy = False
    used = [f"ft:{BASE}:acme:shop{i}:a{i:05d}" for i in range(16)]
    policy = Policy(probe_every_s=0.05, warmup_s=60)
    async with Upstreams({BASE: [first.url, second.url]}, policy=policy) as gateway:
        await until(lambda: gateway.serves(BASE))
        for adapter in used:
            await ask(gateway, adapter)
        assert len(first.seen) == 16
        weights = [(Loaded(server.url), 1.0) for server in (first, second)]
        balancer = Balancer(weights, load_factor=1.25, spill_above=8)
        own = [a for a in reversed(used) if balancer.own_replica(a).url == second.url]
        assert 0 < len(own) < 16
        second.healthy = True
        await until(lambda: len(second.adapters) == len(own))
        assert [unquote(adapter) for adapter in second.adapters] == own
        assert len(first.seen) == 16
