"""Tests of replicas from settings and from names, with engines on several loopback addresses."""

from __future__ import annotations

import asyncio
import socket

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from service.config import Settings
from service.core.errors import Unavailable
from service.inference.upstreams import Timeouts, Upstreams
from service.inference.upstreams.discovery import Discovery, Name, parse, resolve, split_name
from service.inference.upstreams.health import Policy

BASE = "tiny-base"
NAME = "vllm-tiny.finetuned.svc"
QUICK = Policy(probe_every_s=0.05, dns_every_s=0.02, warmup_s=0)
STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Zone:
    """Simulated DNS responses, and the number of lookups."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: list[str] | OSError = list(addresses)
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def resolve(self, host: str, port: int) -> list[str]:
        assert host == NAME
        self.asked += 1
        await self.answers.wait()
        if isinstance(self.addresses, OSError):
            raise self.addresses
        return self.addresses


def replicas(state: str) -> float | None:
    return REGISTRY.get_sample_value(
        "finetuned_engine_replicas", {"base_model": BASE, "state": state}
    )


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("http://10.0.0.1:8000", "http://10.0.0.1:8000"),
        (" https://engine.example/ ", "https://engine.example"),
        ("http://[fd00::1]:8000", "http://[fd00::1]:8000"),
        ("dns+http://vllm.svc:8000", Name("vllm.svc", 8000)),
        ("dns+http://vllm.svc", Name("vllm.svc", 80)),
        ("dns+https://vllm.svc", Name("vllm.svc", 443, "https")),
    ],
)
def test_addresses(url, parsed):
    assert parse(url) == parsed


@pytest.mark.parametrize(
    "url",
    [
        *("", "engine:8000", "ftp://x:1", "http://", "dns+ftp://x", "dns+x"),
        *(
            "http://x:8000/v1",
            "http://x?a",
            "dns+http://x:8000/v1",
            "http://x:port",
            "http://x:99999",
        ),
    ],
)
def test_what_is_no_address_is_refused_when_the_api_starts(url):
    with pytest.raises(ValueError):
        Upstreams({BASE: [url]})


def test_addresses_of_both_families_become_urls():
    urls = Name("x", 8000, "https").urls(["10.0.0.1", "fd00::1"])
    assert urls == ["https://x@10.0.0.1:8000", "https://x@[fd00::1]:8000"]
    assert [split_name(url) for url in urls] == [
        ("https://10.0.0.1:8000", "x"),
        ("https://[fd00::1]:8000", "x"),
    ]
    assert split_name("http://engine:8000") == ("http://engine:8000", None)


async def test_settings_name_several_engines_with_commas(serve_engine, ask, until):
    servers = [await serve_engine() for _ in range(2)]
    settings = Settings(
        upstreams={BASE: f"{servers[0].url}, {servers[1].url}/,"},
        upstream_api_key=SecretStr("k"),
    )
    async with Upstreams.from_settings(settings) as gateway:
        await until(lambda: replicas("serving") == 2)
        for _ in range(4):
            await ask(gateway)
    assert [len(s.seen) for s in servers] == [2, 2]


async def test_each_address_of_a_name_is_a_replica(serve_engine, ask, until):
    first = await serve_engine()
    second = await serve_engine(host="127.0.0.2", port=first.port)
    zone = Zone("127.0.0.1")
    url = f"dns+http://{NAME}:{first.port}"
    async with Upstreams({BASE: [url]}, policy=QUICK, resolve=zone.resolve) as gateway:
        await until(lambda: replicas("serving") == 1)
        zone.addresses = ["127.0.0.1", "127.0.0.2"]
        await until(lambda: replicas("serving") == 2)
        for _ in range(4):
            await ask(gateway)
        assert (len(first.seen), len(second.seen)) == (2, 2)
        zone.addresses = ["127.0.0.2"]
        await until(lambda: replicas("serving") == 1)
        for _ in range(4):
            await ask(gateway)
        assert (len(first.seen), len(second.seen)) == (2, 6)
        probes = first.probes
        seen = second.probes
        await until(lambda: second.probes > seen + 3)
        assert first.probes <= probes + 1, "it is still probed"


async def test_what_runs_on_a_replica_that_leaves_ends_there(serve_engine, ask, until):
    leaving = await serve_engine(answer=STREAM + b"2\r\nab\r\n")
    staying = await serve_engine(host="127.0.0.2", port=leaving.port)
    zone = Zone("127.0.0.1")
    url = f"dns+http://{NAME}:{leaving.port}"
    async with Upstreams({BASE: [url]}, policy=QUICK, resolve=zone.resolve) as gateway:
        await until(lambda: replicas("serving") == 1)
        answer = await gateway.send(BASE, "/v1/chat/completions", b"{}", {})
        assert await answer.read() == b"ab"
        zone.addresses = ["127.0.0.2"]
        await until(lambda: replicas("leaving") == 1)
        await until(lambda: replicas("serving") == 1)
        assert await ask(gateway) == (200, b"ok")
        # A replica that returns during a request is the same one.
        zone.addresses = ["127.0.0.1", "127.0.0.2"]
        await until(lambda: replicas("leaving") == 0)
        zone.addresses = ["127.0.0.2"]
        await until(lambda: replicas("leaving") == 1)
        leaving.answer = b"2\r\ncd\r\n0\r\n\r\n"
        for connection in leaving.connections:
            assert not connection.done()
        answer.close()
        assert replicas("leaving") == 0
    assert len(staying.seen) == 1


async def test_a_failed_look_up_keeps_what_was_known(serve_engine, ask, until):
    server = await serve_engine()
    zone = Zone("127.0.0.1")
    url = f"dns+http://{NAME}:{server.port}"
    async with Upstreams({BASE: [url]}, policy=QUICK, resolve=zone.resolve) as gateway:
        await until(lambda: replicas("serving") == 1)
        for failure in (socket.gaierror(socket.EAI_NONAME, "no such name"), TimeoutError()):
            zone.addresses = failure
            asked = zone.asked
            await until(lambda asked=asked: zone.asked > asked + 2)
            assert await ask(gateway) == (200, b"ok")
        zone.addresses = []
        asked = zone.asked
        await until(lambda: zone.asked > asked + 2)
        assert await ask(gateway) == (200, b"ok")


async def test_a_name_that_is_not_there_yet(serve_engine, ask, until):
    server = await serve_engine()
    zone = Zone()
    zone.addresses = socket.gaierror(socket.EAI_NONAME, "no such name")
    url = f"dns+http://{NAME}:{server.port}"
    async with Upstreams({BASE: [url]}, policy=QUICK, resolve=zone.resolve) as gateway:
        with pytest.raises(Unavailable) as caught:
            await ask(gateway)
        assert caught.value.code == "engine_unavailable"
        assert await gateway.ready() == {BASE: False}
        zone.addresses = ["127.0.0.1"]
        await until(lambda: replicas("serving") == 1)
        assert await ask(gateway) == (200, b"ok")


async def test_a_dns_that_does_not_answer_delays_the_start_by_little():
    zone = Zone("127.0.0.1")
    zone.answers.clear()
    told: list[list[str]] = []
    discovery = Discovery(
        ["http://10.0.0.1:1", f"dns+http://{NAME}:80"],
        lambda urls: told.append(list(urls)),
        resolve=zone.resolve,
        every_s=0.01,
    )
    await discovery.open(patience_s=0.05)
    assert told == [["http://10.0.0.1:1"]]
    assert zone.asked == 1
    zone.answers.set()
    async with asyncio.timeout(60):
        while len(told) < 2 or zone.asked < 4:
            await asyncio.sleep(0.01)
    assert told[1:] == [["http://10.0.0.1:1", f"http://{NAME}@127.0.0.1:80"]]
    await discovery.close()
    asked = zone.asked
    await asyncio.sleep(0.05)
    assert zone.asked == asked


async def test_the_same_replica_named_twice_is_one():
    told: list[list[str]] = []
    zone = Zone("10.0.0.1", "10.0.0.2")
    discovery = Discovery(
        ["http://10.0.0.1:80", f"dns+http://{NAME}:80"],
        lambda urls: told.append(list(urls)),
        resolve=zone.resolve,
    )
    await discovery.open(patience_s=1)
    await discovery.close()
    assert told[-1] == ["http://10.0.0.1:80", f"http://{NAME}@10.0.0.2:80"]


async def test_the_systems_own_resolver(serve_engine, ask, until):
    server = await serve_engine()
    assert "127.0.0.1" in await resolve("localhost", server.port)
    with pytest.raises(OSError):
        await resolve("no-such-name.invalid", 80)
    url = f"dns+http://localhost:{server.port}"
    timeouts = Timeouts(connect_s=2)
    async with Upstreams({BASE: [url]}, policy=QUICK, timeouts=timeouts) as gateway:
        await until(lambda: replicas("serving") == 1)
        assert await ask(gateway) == (200, b"ok")
