"""A real gateway (uvicorn), misbehaving engines (aiohttp, raw sockets) and a real Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from starlette.types import ASGIApp

from service.config.limits import NO_LIMITS, Limits
from service.core.redis import connect
from service.inference.chat_load import ChatReports
from service.inference.gateway import Gateway
from service.inference.gateway.exchange import ChatCopies
from service.inference.upstreams import Timeouts, Upstreams
from service.inference.upstreams.discovery import Resolve, resolve
from service.inference.upstreams.health import Policy
from service.models.catalogue import BaseModelEntry, Catalogue
from service.models.records import ModelRecord
from service.models.registry import ModelRegistry
from service.usage.meter import Meter
from service.web.auth import Authenticator, Principal
from service.web.permissions import Role
from service.web.request_audit import ModelRequests
from service.web.wire.protocol import HandledRequest, HttpProtocol
from tests.conftest import running
from tests.http_server import http_server

BASE = "tiny-base"
ACME_KEY, OTHER_KEY = "sk-ft-acme", "sk-ft-other"
ENGINE_KEY = "engine-secret"
PROJECTS = {
    ACME_KEY: Principal("key_a", "proj_acme", "acme", Role.MEMBER),
    OTHER_KEY: Principal("key_o", "proj_other", "other", Role.MEMBER),
}

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def registry(redis_url: str, tmp_path: Path) -> AsyncIterator[ModelRegistry]:
    """A registry on an empty database, with one base model."""
    redis = connect(redis_url)
    await redis.flushdb()
    catalogue = Catalogue(tmp_path / "models.yaml")
    catalogue.add(
        BaseModelEntry(id=BASE, path=tmp_path / "base", license="mit", context_length=2048)
    )
    yield ModelRegistry(redis, catalogue, cache_s=0.0)
    await redis.aclose(close_connection_pool=True)


@pytest.fixture
def add_adapter(registry: ModelRegistry) -> Callable[..., Awaitable[None]]:
    """Register an adapter by name."""

    async def add(
        name: str,
        *,
        project: str = "proj_acme",
        base: str = BASE,
        artifact: str = "adapters/a",
        digest: str = "d",
    ) -> None:
        await registry.register(
            ModelRecord(
                id=name,
                project_id=project,
                created_at=1,
                base_model=base,
                job_id="ftjob-1",
                artifact=artifact,
                digest=digest,
                step=1,
            )
        )

    return add


@dataclass
class Seen:
    """A request as an engine received it."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeEngine:
    """An HTTP server whose responses the test defines."""

    url: str = ""
    reply: Reply | None = None
    seen: list[Seen] = field(default_factory=list)
    dropped: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            return web.Response()
        self.seen.append(Seen(request.path_qs, dict(request.headers), await request.read()))
        try:
            assert self.reply is not None
            return await self.reply(request)
        except (asyncio.CancelledError, ConnectionError):
            self.dropped.set()
            raise


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    """An engine that answers `{"ok": true}` unless the test changes it."""
    fake = FakeEngine()

    async def ok(_: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    fake.reply = ok
    async with http_server(fake.handle, handler_cancellation=True) as fake.url:
        yield fake


@pytest.fixture
async def raw_engine() -> AsyncIterator[Callable[[bytes], Awaitable[str]]]:
    """Start a healthy engine that answers each request with the given bytes and closes."""
    servers = []

    async def start(answer: bytes) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await reader.read(64 * 1024)
            well = request.startswith(b"GET /health ")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" if well else answer)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nothing listens or will listen during the test."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@dataclass
class Client:
    """A client of the gateway."""

    url: str
    session: aiohttp.ClientSession
    upstreams: Upstreams
    meter: Meter
    app: Gateway
    handler: CountingHandler | None = None
    """What handles the gateway's requests without a task."""

    def post(
        self,
        path: str = "/v1/chat/completions",
        *,
        key: str | None = ACME_KEY,
        headers: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a request as the project of `key`; use with `async with`."""
        auth = {} if key is None else {"authorization": f"Bearer {key}"}
        return self.session.post(self.url + path, headers={**auth, **(headers or {})}, **kwargs)

    async def ask(self, **kwargs: Any) -> bytes:
        """Send a request and read the complete response."""
        async with self.post(**kwargs) as response:
            return await response.read()


def serving(app: ASGIApp, **options: Any) -> AbstractAsyncContextManager[str]:
    """Serve an ASGI app without a lifespan with a real uvicorn, and yield its URL."""
    usual = {"lifespan": "off", "timeout_graceful_shutdown": 1, "access_log": False}
    return running(app, **{**usual, **options})


class CountingHandler:
    """A gateway that counts the requests that it gets without a task."""

    def __init__(self, gateway: Gateway) -> None:
        self.paths = gateway.paths
        self.handled = 0
        self.gateway = gateway

    @property
    def handler(self) -> CountingHandler:
        return self

    def handle(self, request: HandledRequest) -> None:
        self.handled += 1
        self.gateway.handle(request)


BOTH_WAYS = pytest.mark.parametrize("gateway", ["asgi", "handler"], indirect=True)
"""For tests of the gateway: as an ASGI application, or as a handler of the server."""


@pytest.fixture
async def gateway(
    registry: ModelRegistry, engine: FakeEngine, request: pytest.FixtureRequest
) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Start a gateway. By default, `engine` serves its only base model."""
    is_handler = getattr(request, "param", "handler") == "handler"
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            urls: list[str] | None = None,
            *,
            base: str = BASE,
            models: ModelRegistry | None = None,
            timeouts: Timeouts | None = None,
            policy: Policy | None = None,
            max_body_bytes: int = 1024 * 1024,
            client_timeout_s: float = 10.0,
            key_limits: Limits = NO_LIMITS,
            reports: ChatReports | None = None,
            audited: ModelRequests | None = None,
            copies: ChatCopies | None = None,
            handles: bool = is_handler,
            cache_s: float = 0.0,
            resolve: Resolve = resolve,
        ) -> Client:
            async def find(secret: str) -> Principal | None:
                return PROJECTS.get(secret)

            upstreams = await stack.enter_async_context(
                Upstreams(
                    {base: [engine.url] if urls is None else urls},
                    api_key=ENGINE_KEY,
                    timeouts=timeouts or Timeouts(connect_s=2, first_byte_s=5, between_chunks_s=5),
                    policy=policy,
                    resolve=resolve,
                )
            )
            meter = await stack.enter_async_context(Meter(registry.redis, key_limits=key_limits))
            models = models or registry
            if cache_s:
                models = ModelRegistry(models.redis, models.catalogue, cache_s=cache_s)
            authenticator = Authenticator(find, cache_s=cache_s)
            app = Gateway(
                authenticator,
                models,
                upstreams,
                meter,
                max_body_bytes=max_body_bytes,
                salt_secret=ENGINE_KEY,
                client_timeout_s=client_timeout_s,
                reports=reports,
                audited=audited,
                copies=copies,
            )
            stack.callback(app.close)
            options, handler = {}, None
            if handles:
                handler = CountingHandler(app)
                options["http"] = HttpProtocol.with_limits(client_timeout_s, application=handler)
            url = await stack.enter_async_context(serving(app, **options))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Client(url, session, upstreams, meter, app, handler)

        yield start


@pytest.fixture
def serve() -> Callable[[ASGIApp], AbstractAsyncContextManager[str]]:
    """A function that serves an ASGI app: `async with serve(app) as url`."""
    return serving
