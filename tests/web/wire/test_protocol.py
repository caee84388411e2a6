"""Tests of our protocol against uvicorn's: the same bytes in fewer packets."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.web.wire.protocol import HttpProtocol
from tests.conftest import running

pytestmark = pytest.mark.slow

BODY = b'{"id": "chatcmpl-1"}'
POST = b"POST /%s HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"


async def app(scope, receive, send) -> None:
    """Answer in the way that the path selects."""
    path = scope["path"][1:]
    length = {"short": len(BODY) + 1, "long": len(BODY) - 1}.get(path, len(BODY))
    headers = [(b"content-type", b"application/json"), (b"x-request-id", b"req_1")]
    if path not in ("stream", "late"):
        headers.append((b"content-length", b"%d" % length))
    if path == "last":
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if path == "stream":
        for _ in range(3):
            await send({"type": "http.response.body", "body": BODY, "more_body": True})
    await send({"type": "http.response.body", "body": BODY})


@contextlib.asynccontextmanager
async def served(app, protocol, **options) -> AsyncIterator[int | None]:
    """Serve an app in uvicorn with a protocol, and yield the port."""
    options = {"lifespan": "off", "server_header": False, **options}
    async with running(app, http=protocol, **options) as url:
        yield urlsplit(url).port


async def said(protocol, request: bytes) -> bytes:
    """Return all bytes until the server is quiet, without dates; `<end>` if it closed."""
    async with served(app, protocol) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        told = b""
        try:
            while chunk := await asyncio.wait_for(reader.read(65536), 0.3):
                told += chunk
            told += b"<end>"
        except TimeoutError:
            pass
        writer.close()
    return re.sub(rb"date: [^\r]*", b"date:", told)


REQUESTS = {
    "whole": POST % b"whole",
    "a stream": POST % b"stream",
    "closes by its header": POST % b"last",
    "closes as the client asked": b"POST /whole HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    "HTTP/1.0": b"POST /whole HTTP/1.0\r\nhost: a\r\n\r\n",
    "HEAD": b"HEAD /whole HTTP/1.1\r\nhost: a\r\n\r\n",
    "no length": POST % b"late",
    "too short": POST % b"short",
    "too long": POST % b"long",
    "an upgrade": b"GET /whole HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    "pipelined": POST % b"whole" + POST % b"stream" + POST % b"whole",
    "asks whether to go on": POST.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n")
    % b"whole",
}


@pytest.mark.parametrize("request_bytes", REQUESTS.values(), ids=REQUESTS.keys())
async def test_the_bytes_are_uvicorns(request_bytes):
    ours = await said(HttpProtocol, request_bytes)
    assert ours == await said(HttpToolsProtocol, request_bytes)
    assert ours


@pytest.mark.parametrize("name", ["_start_asgi_task", "_unset_keepalive_if_required"])
def test_uvicorn_still_has_what_is_put_in_its_place(name):
    assert callable(getattr(HttpToolsProtocol, name))


async def test_an_answer_is_one_packet():
    async with served(app, HttpProtocol) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(20):
            writer.write(POST % b"whole")
            assert (await reader.read(65536)).endswith(BODY)
        writer.close()


async def test_a_head_does_not_wait_for_a_body_that_comes_later():
    go_on = asyncio.Event()

    async def slow(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await go_on.wait()
        await send({"type": "http.response.body", "body": BODY})

    async with served(slow, HttpProtocol) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST % b"")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 200 OK")
        go_on.set()
        assert BODY in await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)
        writer.close()


async def test_an_app_waits_for_a_client_that_does_not_read():
    passed = 0

    async def endless(scope, receive, send) -> None:
        nonlocal passed
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while passed < 64 * 1024 * 1024:
            await send({"type": "http.response.body", "body": bytes(10_000), "more_body": True})
            passed += 10_000

    async with served(endless, HttpProtocol, timeout_graceful_shutdown=1) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        assert isinstance(writer.transport, asyncio.ReadTransport)
        writer.transport.pause_reading()
        writer.write(POST % b"")
        await asyncio.sleep(0.5)
        taken = passed
        await asyncio.sleep(0.3)
        assert passed == taken < 16 * 1024 * 1024  # the size of the system's buffers
        writer.transport.abort()


async def test_a_connection_is_kept_while_it_is_used_and_closed_after():
    async with served(app, HttpProtocol, timeout_keep_alive=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(POST % b"whole")
            assert (await reader.read(65536)).endswith(BODY)
            await asyncio.sleep(0.6)
        loop = asyncio.get_running_loop()
        writer.write(POST % b"whole")
        assert (await reader.read(65536)).endswith(BODY)
        answered = loop.time()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert loop.time() - answered > 0.9
        writer.close()


async def test_no_answer_under_way_is_ended_by_the_timer():
    async def slow(scope, receive, send) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(1.5)
        await app(scope, receive, send)

    async with served(slow, HttpProtocol, timeout_keep_alive=1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for path in (b"whole", b"slow", b"whole"):
            writer.write(POST % path)
            assert (await asyncio.wait_for(reader.read(65536), 5)).endswith(BODY)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
