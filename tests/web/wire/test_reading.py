"""Tests of limits on what a client sends over raw sockets: size, time and ambiguity."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from service.web.wire.heads import MAX_HEAD_BYTES
from service.web.wire.protocol import MIN_BODY_BYTES_PER_S, HttpProtocol
from tests.conftest import running

WAIT_S = 60
HEAD = b"POST /%b HTTP/1.1\r\nhost: a\r\n"


class App:
    """An app that reads the whole body, unless the path is `early`, and returns its length."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.go_on = asyncio.Event()

    async def __call__(self, scope, receive, send) -> None:
        message = {"more_body": scope["path"] != "/early"}
        body = b""
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
        if scope["path"] == "/slow":
            await self.go_on.wait()
        self.bodies.append(body)
        self.headers.append(scope["headers"])
        length = b"%d" % len(body)
        headers = [(b"content-length", b"%d" % len(length))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": length})


@pytest.fixture
def app() -> App:
    return App()


@contextlib.asynccontextmanager
async def connected(
    app, timeout_s: float = 60.0, **options
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to an app whose clients may take `timeout_s`."""
    options = {"http": HttpProtocol.with_limits(timeout_s), "lifespan": "off", **options}
    async with running(app, timeout_graceful_shutdown=5, **options) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        yield reader, writer
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the status and the rest of the output until the server closes."""
    told = await asyncio.wait_for(reader.read(), WAIT_S)
    return int(told.split(b" ", 2)[1]), told.split(b"\r\n\r\n", 1)[1]


def assert_error(body: bytes, code: str) -> None:
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", code)


REFUSED = {
    "one header in many packets": b"x: %b" % (b"a" * 1_000_000),
    "many headers": b"x: %b\r\n" % (b"a" * 1000) * 1000,
    "a long URL": b"",
    "whole in one packet": b"x: %b\r\n\r\n" % (b"a" * (MAX_HEAD_BYTES + 1)),
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED.keys())
async def test_headers_over_the_limit_are_431(app, headers):
    start = HEAD % b"" if headers else HEAD % (b"a" * 200_000)
    async with connected(app) as (reader, writer):
        writer.write(start + headers)
        status, body = await answered(reader)
    assert status == 431
    assert_error(body, "headers_too_large")
    assert app.bodies == []


@pytest.mark.parametrize("first", [1, 100, 20_000, 65_000, 65_536, -5, -2, -1])
async def test_headers_over_the_limit_in_two_packets_are_431(app, first):
    whole = HEAD % b"" + REFUSED["whole in one packet"]
    async with connected(app) as (reader, writer):
        writer.write(whole[:first])
        await asyncio.sleep(0.05)  # sent alone
        writer.write(whole[first:])
        status, body = await answered(reader)
    assert status == 431
    assert_error(body, "headers_too_large")
    assert app.bodies == []


async def test_headers_below_the_limit_pass(app):
    async with connected(app) as (reader, writer):
        writer.write(HEAD % b"" + b"connection: close\r\nx: ")
        for _ in range(6):
            writer.write(b"a" * 10_000)
            await asyncio.sleep(0)
        writer.write(b"\r\ncontent-length: 200000\r\n\r\n" + b"b" * 200_000)
        status, body = await answered(reader)
    assert (status, body) == (200, b"200000")


async def test_a_large_body_before_the_next_head_does_not_count_for_it(app):
    request = HEAD % b"" + b"content-length: 300000\r\n\r\n" + b"b" * 300_000
    async with connected(app) as (reader, writer):
        for last in (False, False, True):
            writer.write(request.replace(b"\r\n", b"\r\nconnection: close\r\n", 1 if last else 0))
        told = await asyncio.wait_for(reader.read(), WAIT_S)
    assert told.count(b"HTTP/1.1 200 OK") == 3


async def test_trailers_over_the_limit_are_431(app):
    async with connected(app) as (reader, writer):
        writer.write(HEAD % b"" + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: ")
        await asyncio.sleep(0.05)
        writer.write(b"a" * 1_000_000)
        status, body = await answered(reader)
    assert status == 431
    assert_error(body, "headers_too_large")


async def test_trailers_that_nobody_reads_have_the_limit_too(app):
    async with connected(app) as (reader, writer):
        writer.write(HEAD % b"early" + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: ")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n0"), WAIT_S)
        writer.write(b"a" * 1_000_000)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), WAIT_S) == b""


@pytest.mark.parametrize("begun", [b"P", b"POST / HT", HEAD % b"" + b"x: 1", b"\r\n"])
async def test_a_head_that_does_not_end_is_408(app, begun):
    async with connected(app, 0.2) as (reader, writer):
        writer.write(begun)
        status, body = await answered(reader)
    assert status == 408
    assert_error(body, "request_timeout")


async def test_a_head_that_comes_byte_by_byte_is_408(app):
    async with connected(app, 0.5) as (reader, writer):
        writer.write(HEAD % b"" + b"x: ")
        reading = asyncio.create_task(answered(reader))
        while not reading.done():
            writer.write(b"a")
            await asyncio.sleep(0.02)
        status, _ = await reading
    assert status == 408


async def test_a_second_head_on_a_connection_has_the_limit_too(app):
    async with connected(app, 0.2) as (reader, writer):
        writer.write(HEAD % b"" + b"content-length: 0\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n0"), WAIT_S)).startswith(
            b"HTTP/1.1 200"
        )
        writer.write(HEAD % b"")
        status, _ = await answered(reader)
    assert status == 408


@pytest.mark.parametrize(
    "start",
    [b"content-length: 9\r\n\r\nab", b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n"],
)
async def test_a_body_that_does_not_end_is_408(app, start):
    async with connected(app, 0.2) as (reader, writer):
        writer.write(HEAD % b"" + start)
        status, body = await answered(reader)
    assert status == 408
    assert_error(body, "request_timeout")


async def test_a_body_that_nobody_reads_ends_too(app):
    async with connected(app, 0.2) as (reader, writer):
        writer.write(HEAD % b"early" + b"content-length: 9\r\n\r\nab")
        status, body = await answered(reader)
    assert (status, body) == (200, b"0")


async def test_a_body_may_take_long_while_it_keeps_coming(app):
    """The timeout is triggered by hand, so that the test does not depend on speed."""
    made: list[HttpProtocol] = []

    class Watched(HttpProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            made.append(self)

    enough = int(MIN_BODY_BYTES_PER_S * Watched.client_timeout_s)
    async with connected(app, http=Watched) as (reader, writer):
        writer.write(HEAD % b"" + b"content-length: %d\r\n\r\n" % (9 * enough))
        for _ in range(3):
            writer.write(b"a" * enough)
            async with asyncio.timeout(WAIT_S):
                while not made or made[0]._body_bytes < enough:
                    await asyncio.sleep(0.01)
            made[0]._look()
        made[0]._look()  # nothing has arrived since
        status, body = await answered(reader)
    assert status == 408
    assert_error(body, "request_timeout")


async def test_an_answer_may_take_longer_than_the_request(app):
    async with connected(app, 0.1) as (reader, writer):
        # Some clients send an extra line end after a body.
        writer.write(HEAD % b"slow" + b"connection: close\r\ncontent-length: 0\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"\r\n")
        await asyncio.sleep(0.5)
        app.go_on.set()
        assert await answered(reader) == (200, b"0")


async def test_a_connection_without_a_request_is_closed(app):
    async with connected(app, timeout_keep_alive=1) as (reader, _):
        assert await asyncio.wait_for(reader.read(), WAIT_S) == b""


AMBIGUOUS = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": HEAD % b"" + b"Host: b\r\n\r\n",
    "two hosts of HTTP/1.0": b"GET / HTTP/1.0\r\nhost: a\r\nhost: a\r\n\r\n",
    "two keys": HEAD % b"" + b"Authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n",
    "a body behind an upgrade": HEAD % b""
    + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nab",
    **{
        line.decode(): line + b"\r\nhost: a\r\n\r\n"
        for line in (b"GET / HTTP/2.0", b"GET / HTTP/1.2", b"GET / HTTP/3.0", b"GET / HTTP/0.9")
    },
    "no version": b"GET /\r\nhost: a\r\n\r\n",
    "garbage": b"no HTTP at all\r\n\r\n",
    "two lengths": HEAD % b"" + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "length and chunks": HEAD % b""
    + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a key in a trailer": HEAD % b""
    + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nauthorization: Bearer a\r\n\r\n",
    "a chunk without a size": HEAD % b"" + b"transfer-encoding: chunked\r\n\r\nxyz\r\n",
}


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_what_is_malformed_or_ambiguous_is_400(app, request_bytes):
    async with connected(app) as (reader, writer):
        writer.write(request_bytes)
        status, body = await answered(reader)
    assert status == 400
    assert_error(body, "invalid_request")
    assert app.bodies == []


async def test_http_1_0_needs_no_host(app):
    async with connected(app) as (reader, writer):
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert await answered(reader) == (200, b"0")


async def test_trailers_are_not_headers(app):
    chunked = b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    async with connected(app) as (reader, writer):
        writer.write(HEAD % b"" + chunked + b"1\r\na\r\n0\r\nx-request-id: b\r\n\r\n")
        assert await answered(reader) == (200, b"1")
    assert b"x-request-id" not in dict(app.headers[0])


@pytest.mark.parametrize("bad", [b"no HTTP", b"GET / HTTP/1.1\r\n\r\n"])
async def test_a_bad_request_behind_a_good_one_does_not_spoil_its_answer(app, bad):
    async with connected(app) as (reader, writer):
        writer.write(HEAD % b"slow" + b"content-length: 0\r\n\r\n" + bad)
        await asyncio.sleep(0.1)
        app.go_on.set()
        assert await answered(reader) == (200, b"0")


async def test_a_refusal_behind_queued_requests_comes_last(app):
    good = b"content-length: 0\r\n\r\n"
    chunked = b"transfer-encoding: chunked\r\n\r\nxyz\r\n"
    async with connected(app) as (reader, writer):
        writer.write(HEAD % b"slow" + good + HEAD % b"" + good + HEAD % b"" + chunked)
        await asyncio.sleep(0.1)
        app.go_on.set()
        told = await asyncio.wait_for(reader.read(), WAIT_S)
    assert told.count(b"HTTP/1.1 200 OK") == 2
    assert app.bodies == [b"", b""]
