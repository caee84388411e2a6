"""Meters on a real Valkey, as replicas of one api, with a clock that tests control."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.config.limits import Limits
from service.core.redis import Client, connect
from service.usage.accounts import Admission, Served
from service.usage.meter import Meter
from service.web.auth import Principal
from service.web.permissions import Role

NOON = 1_790_000_040.0  # a time far from other tests', at the start of a minute
assert NOON % 60 == 0


@dataclass
class Clock:
    """A clock that stands still until a test changes it."""

    now_s: float = NOON

    def __call__(self) -> float:
        return self.now_s

    def turn(self, seconds: float) -> None:
        self.now_s += seconds


def caller(
    key: str = "key_a",
    project: str = "proj_acme",
    *,
    key_limits: dict[str, Any] | None = None,
    **project_limits: Any,
) -> Principal:
    """A key whose project has the given limits."""
    return Principal(
        key, project, project.removeprefix("proj_"), Role.MEMBER,
        Limits(**(key_limits or {})), Limits(**project_limits),
    )  # fmt: skip


def served(
    model: str = "ft:m",
    *,
    tokens: tuple[int, int] = (10, 5),
    cached: int = 0,
    status: int = 200,
    **other: Any,
) -> Served:
    """A finished response, not streamed by default."""
    fields: dict[str, Any] = {
        "first_byte_s": 0.1,
        "seconds": 0.1,
        "streamed": False,
        "base_model": "tiny",
    }
    return Served(
        model=model, kind="adapter", status=status, cached_tokens=cached,
        input_tokens=tokens[0], output_tokens=tokens[1], **{**fields, **other},
    )  # fmt: skip


@dataclass
class Replica:
    """A meter with helper methods."""

    meter: Meter

    def admit(
        self,
        who: Principal,
        *,
        body: int = 40,
        max_tokens: int = 0,
        streamed: bool = False,
        answers: int = 1,
    ) -> Admission:
        return self.meter.admit(
            who, body_bytes=body, max_tokens=max_tokens, streamed=streamed, answers=answers
        )

    def serve(self, who: Principal, *, max_tokens: int = 0, **answer: Any) -> Admission:
        admission = self.admit(who, max_tokens=max_tokens)
        self.meter.done(admission, served(**answer))
        return admission

    async def flush(self) -> None:
        await self.meter.flush()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replica(redis: Client, clock: Clock) -> Callable[..., Replica]:
    """A new replica that exchanges when `flush()` is called."""

    def make(through: Client | None = None, **options: Any) -> Replica:
        return Replica(Meter(through or redis, clock=clock, **options))

    return make


@dataclass
class Proxy:
    """A proxy to Valkey that can be cut or lose responses."""

    host: str
    port: int
    url: str = ""
    is_cut: bool = False
    answers_to_lose: int = 0
    lost: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side or the proxy ends it."""
        up_reader, up_writer = await asyncio.open_connection(self.host, self.port)
        ways = [
            asyncio.create_task(self._pass_on(reader, up_writer)),
            asyncio.create_task(self._pass_on(up_reader, writer, is_answer=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            writer.close()
            up_writer.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_answer: bool = False,
    ) -> None:
        while not self.is_cut and (chunk := await reader.read(65536)):
            if self.is_cut:
                return
            # Tests do not lose handshakes or the loading of scripts.
            if is_answer and self.answers_to_lose and chunk.startswith((b":", b"*")):
                self.answers_to_lose -= 1
                self.lost.append(chunk)
                return
            writer.write(chunk)
            await writer.drain()


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    """The proxy, listening."""
    target = urlsplit(redis_url)
    assert target.hostname is not None
    assert target.port is not None
    road = Proxy(target.hostname, target.port)
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(task := asyncio.create_task(road.serve(reader, writer)))
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    road.url = f"redis://127.0.0.1:{port}{target.path}"
    yield road
    server.close()
    for task in list(connections):
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


@pytest.fixture
async def cut_redis(proxy: Proxy) -> AsyncIterator[Client]:
    """A client that connects through the proxy and does not retry."""
    client = connect(proxy.url, retries=0)
    yield client
    await client.aclose(close_connection_pool=True)
