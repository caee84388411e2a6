"""The limit on the connections of one address, with real connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import pytest

from service.core.networks import network
from service.web.wire import connection_limits as module
from service.web.wire.connection_limits import ConnectionLimits
from service.web.wire.protocol import HttpProtocol
from tests.conftest import running

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def app(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def asked(connection: Connection) -> bytes:
    """The first line of the answer to a request, or nothing if the server hung up."""
    reader, writer = connection
    writer.write(GET)
    try:
        return (await asyncio.wait_for(reader.readline(), 60)).rstrip()
    except ConnectionError:
        return b""


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[int | None], Awaitable[Connection]]]:
    """Connects to a port. All connections are closed at the end."""
    writers = []

    async def to(port: int | None) -> Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        return reader, writer

    yield to
    for writer in writers:
        await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_connection_over_the_limit_is_told_so_and_others_go_on(connect, monkeypatch):
    monkeypatch.setattr(module, "_MAX_REFUSALS", 1)
    limits = ConnectionLimits(2, this_machine=True)
    async with running(app, http=HttpProtocol.with_limits(60, limits), lifespan="off") as url:
        port = urlsplit(url).port
        held = [await connect(port), await connect(port)]
        assert [await asked(connection) for connection in held] == [OK, OK]
        refused = await connect(port)
        told = await asyncio.wait_for(refused[0].read(), 60)
        assert told.startswith(b"HTTP/1.1 429 ")
        assert json.loads(told.split(b"\r\n\r\n", 1)[1])["error"]["code"] == "limit_reached"
        flood = await connect(port)  # the refused one may still be reading
        assert await asked(flood) == b""
        await close(refused[1])
        await close(held[0][1])
        while await asked(await connect(port)) != OK:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("host", "is_limited"),
    [
        ("192.0.2.7", True),
        ("2001:db8::1", True),
        ("10.1.2.3", False),
        ("::ffff:10.1.2.3", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("", False),  # a Unix socket
    ],
)
def test_proxies_and_the_machine_itself_have_no_limit(host, is_limited):
    limits = ConnectionLimits(1, unlimited=[network("10.0.0.0/8")])
    assert not limits.enter(host)
    assert limits.enter(host) is is_limited
    limits.leave(host)
    limits.leave(host)
    assert not limits.enter(host)
