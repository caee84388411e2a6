"""A proxy in front of an engine that records requests, and a service that uses it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from bench.engine.base_model import base_model
from bench.evals.service import BASE_MODEL, START_S
from service.core.redis import connect
from service.models.catalogue import BaseModelEntry, Catalogue
from service.projects.records import Projects, Role
from service.standalone import services
from service.standalone.layout import DataLayout
from service.standalone.ports import listen
from service.standalone.supervisor import Supervisor

_KEPT_HEADERS = ("authorization", "content-type", "x-finetuned-adapter")
_UNLIMITED = aiohttp.ClientTimeout(total=None)


@dataclass(frozen=True)
class Request:
    """A request to the engine. `began_s` and `ended_s` are on the monotonic clock."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    tokens: int
    began_s: float
    ended_s: float


@dataclass
class Recorder:
    """Forwards all requests to an engine, and records those of evaluations.

    Evaluations have a priority behind that of users, which no other request has. `salt` separates
    their prompts in the engine's prefix cache from those of earlier evaluations.
    """

    engine_url: str
    salt: str = "recorded"
    requests: list[Request] = field(default_factory=list)

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[None]:
        """Listen on a port of loopback."""
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._forward)
        runner = web.AppRunner(app, access_log=None)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=_UNLIMITED, connector=connector) as self._http:
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", port).start()
                yield
            finally:
                await runner.cleanup()

    async def _forward(self, request: web.Request) -> web.Response:
        headers = {k: v for k, v in request.headers.items() if k.lower() in _KEPT_HEADERS}
        body, began_s = await request.read(), time.monotonic()
        fields = json.loads(body) if body else {}
        is_recorded = bool(fields.get("priority"))
        if is_recorded:
            body = json.dumps({**fields, "cache_salt": self.salt}).encode()
        try:
            async with self._http.request(
                request.method, self.engine_url + request.path_qs, data=body, headers=headers
            ) as answer:
                content = await answer.read()
        except aiohttp.ClientError:
            return web.Response(status=503)
        if is_recorded:
            self.requests.append(
                Request(
                    request.path_qs,
                    headers,
                    fields,
                    tokens_of(content),
                    began_s,
                    time.monotonic(),
                )
            )
        kind = answer.headers.get("content-type", "application/json")
        return web.Response(status=answer.status, body=content, headers={"content-type": kind})


def tokens_of(content: bytes) -> int:
    """Return the tokens of the prompt and the answer that an engine reports."""
    usage = json.loads(content).get("usage") or {}
    return int(usage.get("total_tokens") or 0)


@asynccontextmanager
async def recorded_service(folder: Path) -> AsyncIterator[tuple[Recorder, str, str]]:
    """Run a service whose requests to the engine pass a recorder.

    Yields the recorder, the URL of the API, and a key.
    """
    layout = DataLayout(folder)
    lock = layout.open(note="")
    model = BaseModelEntry(
        id=BASE_MODEL, path=base_model(), license="apache-2.0", context_length=8192
    )
    Catalogue(layout.models_file).add(model)
    recorder = Recorder(f"http://127.0.0.1:{services.free_port()}")
    proxy_port = services.free_port()
    ports = services.Ports(*(services.free_port() for _ in range(3)))
    urls = {BASE_MODEL: f"http://127.0.0.1:{proxy_port}"}
    sockets = listen("127.0.0.1", ports.api, "--port")
    env = services.environment(layout, ports, "127.0.0.1", urls)
    supervisor = Supervisor(layout.run, layout.logs)
    async with recorder.serving(proxy_port):
        try:
            store = services.valkey(layout, ports)
            await supervisor.start(store)
            await supervisor.until_ready(store, START_S)
            rest = [
                services.inference(env, BASE_MODEL, recorder.engine_url),
                services.api(env, ports, "127.0.0.1", sockets),
                services.worker(env, ports),
            ]
            await asyncio.gather(*map(supervisor.start, rest))
            await asyncio.gather(*(supervisor.until_ready(one, START_S) for one in rest))
            key = await _key(env["FINETUNED_REDIS_URL"])
            yield recorder, f"http://127.0.0.1:{ports.api}/v1", key
        finally:
            for one in sockets:
                one.close()
            lock.close()
            await supervisor.stop()


async def _key(redis_url: str) -> str:
    redis = connect(redis_url)
    try:
        projects = Projects(redis)
        project = await projects.create("bench")
        return (await projects.create_key(project, "bench", Role.ADMIN))[1]
    finally:
        await redis.aclose(close_connection_pool=True)
