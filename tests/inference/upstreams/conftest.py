"""Small engines on real sockets, healthy or unhealthy as a test needs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.inference.upstreams import Upstreams

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BASE = "tiny-base"


@dataclass
class Server:
    """Answers /health by `healthy` and everything else with `answer`, after `go` is set."""

    answer: bytes = OK
    healthy: bool = True
    hangs_up: bool = False
    host: str = "127.0.0.1"
    port: int = 0
    seen: list[str] = field(default_factory=list)
    adapters: list[str | None] = field(default_factory=list)
    probes: int = 0
    connections: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.health_goes = asyncio.Event()
        self.health_goes.set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop like a killed process: the listener closes, and all connections break."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self.connections):
            task.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)
        self._server = None
        await asyncio.sleep(0.05)  # until the other side has seen it

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self.connections.add(task)
        task.add_done_callback(self.connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                while await self._exchange(reader, writer):
                    pass
            finally:
                writer.transport.abort() if self._server is None else writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        await reader.readexactly(int(headers.get("content-length", 0)))
        if head[0].startswith("GET /health "):
            self.probes += 1
            await self.health_goes.wait()
            status = "200 OK" if self.healthy else "503 Not Now"
            writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())
            return True
        self.seen.append(headers.get("x-model", ""))
        self.adapters.append(headers.get("x-finetuned-adapter"))
        await self.go.wait()
        writer.write(self.answer)
        await writer.drain()
        return not self.hangs_up


@pytest.fixture
async def serve_engine() -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    """Start a server, which stops with the test."""
    servers = []

    async def start(**options: Any) -> Server:
        server = Server(**options)
        servers.append(server)
        await server.start()
        return server

    yield start
    for server in servers:
        server.go.set()
        server.health_goes.set()
        await server.stop()


@pytest.fixture
def ask() -> Callable[..., Awaitable[tuple[int, bytes]]]:
    """Send one request through upstreams, and read the response as the gateway does."""

    async def ask(
        upstreams: Upstreams, adapter: str | None = None, base: str = BASE
    ) -> tuple[int, bytes]:
        answer = await upstreams.send(
            base, "/v1/chat/completions", b"{}", {"x-model": adapter or "base"}, adapter=adapter
        )
        try:
            if answer.status >= 300:
                return answer.status, await answer.read_all(1024)
            body = b""
            while chunk := await answer.read():
                body += chunk
            return answer.status, body
        finally:
            answer.close()

    return ask


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Wait until a condition is true."""

    async def until(check: Callable[[], object], what: str = "it") -> None:
        async with asyncio.timeout(60):
            while not check():
                await asyncio.sleep(0.01)

    return until


class BlackHole:
    """A port that never accepts a connection: its backlog is full."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []
        self._server: Server | None = None
        self.url = ""

    def before(self, server: Server) -> BlackHole:
        """A server that is healthy until `swallow` is called."""
        self._server, self.url = server, server.url
        return self

    async def swallow(self) -> None:
        """Stop the server, and leave its port without an accept."""
        assert self._server is not None
        await self._server.stop()
        self.listen(self._server.port)

    def listen(self, port: int = 0) -> BlackHole:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(0)
        self._held.append(listener)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for _ in range(2):  # Linux keeps one more than requested
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            self._held.append(filler)
        return self

    def close(self) -> None:
        for held in self._held:
            held.close()


@pytest.fixture
def black_hole() -> Iterator[Callable[..., BlackHole]]:
    """Create ports that neither accept nor refuse connections."""
    holes = []

    def make(until_now: Server | None = None) -> BlackHole:
        hole = BlackHole()
        holes.append(hole)
        return hole.listen() if until_now is None else hole.before(until_now)

    yield make
    for hole in holes:
        hole.close()
