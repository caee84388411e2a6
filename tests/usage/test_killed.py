"""Tests of a killed process: exchanged usage stays, and requests in flight disappear."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import httpx
from aiohttp import web

from service.models.catalogue import BaseModelEntry, Catalogue
from service.projects.records import Projects
from service.standalone.services import free_port
from service.usage import keys
from service.web.permissions import Role
from tests.cached import ROOT
from tests.http_server import http_server

PROGRAM = """
import asyncio, sys
from service.core.redis import connect
from service.usage.meter import Meter
from tests.usage.conftest import caller, served

async def main():
    async with Meter(connect(sys.argv[1]), flush_every_s=0.05, in_flight_ttl_s=0.5) as meter:
        who = caller(concurrent_requests=1000)
        meter.admit(who, body_bytes=1, max_tokens=1, streamed=True)
        for count in range(1, 100_000):
            running = meter.admit(who, body_bytes=1, max_tokens=1, streamed=False)
            meter.done(running, served())
            print(count, flush=True)
            await asyncio.sleep(0.005)

asyncio.run(main())
"""


async def counted(redis) -> int:
    hours = await redis.keys("finetuned:proj_acme:usage:1h:*")
    lines = [line for key in hours for line in (await redis.hgetall(key)).values()]
    return sum(int(line.split()[0]) for line in lines)


async def test_a_killed_process_loses_only_unflushed_usage(redis, redis_url):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, redis_url, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while (served := int(await process.stdout.readline())) < 50:
            pass
        while await counted(redis) < served:
            await asyncio.sleep(0.01)
        assert len(await redis.keys(keys.IN_FLIGHT + "*")) == 1
        process.send_signal(signal.SIGKILL)
        rest = (await process.stdout.read()).split()
        await process.wait()
        assert served <= await counted(redis) <= int(rest[-1] if rest else served)
        while await redis.keys(keys.IN_FLIGHT + "*"):
            await asyncio.sleep(0.01)


async def test_streams_cut_off_at_shutdown_are_metered(redis, redis_url, tmp_path: Path):
    """Two signals, as from systemd and `up`: streams continue until the deadline of the API."""

    async def endless(request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            return web.Response()
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        while True:
            await answer.write(b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n')
            await asyncio.sleep(0.05)

    projects = Projects(redis)
    project = await projects.create("acme")
    _, key = await projects.create_key(project, "key", Role.MEMBER)
    models = Catalogue(tmp_path / "models.yaml")
    models.add(BaseModelEntry(id="tiny", path=tmp_path, license="mit", context_length=2048))
    port = free_port()
    async with http_server(endless) as engine, httpx.AsyncClient(timeout=60) as http:
        env = os.environ | {
            "FINETUNED_REDIS_URL": redis_url,
            "FINETUNED_STORAGE_URL": (tmp_path / "storage").as_uri(),
            "FINETUNED_MODELS_FILE": str(models.file),
            "FINETUNED_UPSTREAMS": json.dumps({"tiny": engine}),
            "FINETUNED_API_PORT": str(port),
            "FINETUNED_API_METRICS_PORT": "0",
            "FINETUNED_STOP_GRACE_S": "2",
        }
        words = (sys.executable, "-m", "service.cli", "api")
        process = await asyncio.create_subprocess_exec(*words, env=env, cwd=ROOT)
        received = [0, 0]

        async def read(number: int) -> None:
            body = {"model": "tiny", "stream": True, "messages": [{"role": "user", "content": "a"}]}
            headers = {"authorization": f"Bearer {key}"}
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            with contextlib.suppress(httpx.RemoteProtocolError):
                async with http.stream("POST", url, json=body, headers=headers) as answer:
                    async for line in answer.aiter_lines():
                        received[number] += line.startswith('data: {"choices"')

        async with asyncio.timeout(120):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    await http.get(f"http://127.0.0.1:{port}/livez")
                    break
                await asyncio.sleep(0.1)
            streams = [asyncio.create_task(read(number)) for number in range(2)]
            while min(received) < 3:
                await asyncio.sleep(0.05)
            at_stop = sum(received)
            for _ in range(2):
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.2)
            await asyncio.gather(*streams)
            await process.wait()
    assert sum(received) > at_stop
    hours = await redis.keys(f"finetuned:{project.id}:usage:1h:*")
    lines = [line.split() for k in hours for line in (await redis.hgetall(k)).values()]
    print(lines)
    errors, tokens = (sum(int(line[place]) for line in lines) for place in (1, 4))
    assert errors == 2  # each stream ended with an error event
    assert 0 <= tokens - sum(received) <= 2  # one of each may not have arrived
