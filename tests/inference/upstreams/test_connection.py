"""Tests of connections to engines: response framing against h11, and failed requests."""

from __future__ import annotations

import asyncio
import itertools
import socket
from dataclasses import dataclass

import h11
import pytest
from aiohttp import web
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.core.errors import Unavailable
from service.inference.upstreams import Timeouts
from service.inference.upstreams.client import EngineClient, NotSent
from service.inference.upstreams.connection import (
    MAX_HEADER_BYTES,
    Connection,
    ConnectionLost,
    NotHttp,
    ResponseTimeout,
)

REQUEST = b"POST /v1/completions HTTP/1.1\r\nhost: engine\r\ncontent-length: 0\r\n\r\n"
FAILURES = (ConnectionLost, NotHttp, ResponseTimeout)


@dataclass
class Outcome:
    """Result of a response: its chunks, or the failure."""

    status: int = 0
    headers: dict[bytes, bytes] | None = None
    body: bytes = b""
    error: Exception | None = None
    reusable: bool = False


async def receive(*parts: bytes, close: bool = True, timeout_s: float = 5.0) -> Outcome:
    """Send the parts to a connection over a real socket pair, one write each."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    connection = Connection(loop, lambda _: None)
    await loop.create_connection(lambda: connection, sock=ours)
    reader, writer = await asyncio.open_connection(sock=theirs)
    outcome = Outcome()

    async def engine() -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0)
        if close:
            writer.write_eof()

    answering = asyncio.create_task(engine())
    try:
        async with asyncio.timeout(timeout_s):
            connection.begin(REQUEST, b"")
            await connection.wait_for_status(timeout_s)
            outcome.status, outcome.headers = connection.status, connection.headers
            while chunk := await connection.read(timeout_s):
                outcome.body += chunk
            outcome.reusable = connection.reusable
    except FAILURES as e:
        outcome.error = e
    finally:
        await asyncio.gather(answering, return_exceptions=True)
        connection.abort()
        writer.close()
    return outcome


def by_h11(answer: bytes) -> Outcome:
    """Return what h11 reads from the same bytes, followed by the end of the connection."""
    judge = h11.Connection(h11.CLIENT)
    judge.send(h11.Request(method="POST", target="/", headers=[("host", "e")]))
    judge.send(h11.EndOfMessage())
    judge.receive_data(answer)
    judge.receive_data(b"")
    outcome = Outcome()
    try:
        while True:
            event = judge.next_event()
            if isinstance(event, h11.Response):
                outcome.status = event.status_code
                outcome.headers = dict(event.headers)
            elif isinstance(event, h11.Data):
                outcome.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return outcome
            elif isinstance(event, h11.ConnectionClosed) or event in (h11.NEED_DATA, h11.PAUSED):
                outcome.error = ConnectionLost()
                return outcome
    except h11.RemoteProtocolError as e:
        outcome.error = e
        return outcome


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"

WHOLE = {
    "length": OK + b"Content-Length: 5\r\n\r\nhello",
    "no reason": b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok",
    "empty": OK + b"content-length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "chunked": CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "chunk extension": CHUNKED + b"3;a=b\r\nabc\r\n0\r\n\r\n",
    "trailers": CHUNKED + b"1\r\na\r\n0\r\nx-t: 1\r\n\r\n",
    "hex case": CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n",
    "interim": b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n" + OK + b"content-length: 1\r\n\r\na",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 X\r\ncontent-length: 1\r\n\r\na",
    "until close": OK + b"content-type: text/plain\r\n\r\nall that comes",
    "old": b"HTTP/1.0 200 OK\r\n\r\nold ways",
    "empty header": OK + b"x-empty:\r\ncontent-length: 1\r\n\r\na",
    "utf-8 header": OK + "x-a: ü\r\ncontent-length: 1\r\n\r\na".encode(),
    "error": b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy",
}


@pytest.mark.parametrize("answer", WHOLE.values(), ids=WHOLE.keys())
async def test_an_answer_is_what_h11_takes_it_for(answer):
    expected, found = by_h11(answer), await receive(answer)
    assert found.error is None
    assert (found.status, found.body) == (expected.status, expected.body)
    assert found.headers == expected.headers


@pytest.mark.parametrize("answer", WHOLE.values(), ids=WHOLE.keys())
async def test_an_answer_may_come_byte_by_byte(answer):
    expected = by_h11(answer)
    found = await receive(*(answer[i : i + 1] for i in range(len(answer))))
    assert found.error is None
    assert (found.status, found.body) == (expected.status, expected.body)


BROKEN = {
    "nothing": (b"", ConnectionLost),
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-le", ConnectionLost),
    "short body": (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", ConnectionLost),
    "no last chunk": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ConnectionLost,
    ),
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", NotHttp),
    "another protocol": (b"SSH-2.0-OpenSSH_9.9\r\n", NotHttp),
    "bad chunk size": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
        NotHttp,
    ),
    "huge chunk size": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\na",
        NotHttp,
    ),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        NotHttp,
    ),
    "length and chunks": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        NotHttp,
    ),
    "negative length": (b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello", NotHttp),
    "no number": (b"HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\nhello", NotHttp),
    "space in name": (b"HTTP/1.1 200 OK\r\nx y: 1\r\n\r\n", NotHttp),
    "no colon": (b"HTTP/1.1 200 OK\r\nfoo\r\n\r\n", NotHttp),
    "upgrade": (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n"
        b"connection: upgrade\r\n\r\n\x81\x00",
        NotHttp,
    ),
    "headers without end": (b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * MAX_HEADER_BYTES, NotHttp),
    "hints without end": (b"HTTP/1.1 103 Hints\r\n\r\n" * MAX_HEADER_BYTES, NotHttp),
}


@pytest.mark.parametrize(("answer", "error"), BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_is_a_clear_failure(answer, error):
    found = await receive(answer)
    assert isinstance(found.error, error)
    assert not found.reusable


async def test_silence_is_a_failure_of_its_own():
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    connection = Connection(loop, lambda _: None)
    await loop.create_connection(lambda: connection, sock=ours)
    loop.call_later(0.05, connection.expire)
    connection.begin(REQUEST, b"")
    with theirs, pytest.raises(ResponseTimeout):
        await connection.wait_for_status(60)


@pytest.mark.parametrize(
    ("answer", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\na", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", False),
        # Data after a response was not requested, and could be mistaken for the next one's.
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na"
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
            False,
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabc", False),
    ],
)
async def test_a_connection_in_doubt_is_not_used_again(answer, reusable):
    found = await receive(answer, close=False)
    assert found.body == b"a"
    assert found.reusable is reusable


async def test_bytes_on_an_idle_connection_close_it():
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    lost = asyncio.Event()
    connection = Connection(loop, lambda _: lost.set())
    await loop.create_connection(lambda: connection, sock=ours)
    with theirs:
        theirs.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        await asyncio.wait_for(lost.wait(), 5)
    connection.begin(REQUEST, b"")
    with pytest.raises(ConnectionLost):
        await connection.wait_for_status(5)


async def test_a_slow_reader_holds_the_engine_back():
    """Unread data remains with the engine, so memory here is bounded."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    connection = Connection(loop, lambda _: None)
    await loop.create_connection(lambda: connection, sock=ours)
    size = 64 * 1024 * 1024
    sent = 0

    async def engine() -> None:
        nonlocal sent
        await loop.sock_recv(theirs, 4096)
        await loop.sock_sendall(theirs, b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        block = b"x" * 65536
        while sent < size:
            await loop.sock_sendall(theirs, block)
            sent += len(block)

    task = asyncio.create_task(engine())
    connection.begin(REQUEST, b"")
    await connection.wait_for_status(5)
    await asyncio.sleep(0.3)
    assert sent < 4 * 1024 * 1024
    received = 0
    while chunk := await connection.read(5):
        received += len(chunk)
    assert received == size
    await task
    connection.abort()
    theirs.close()


_pieces = st.sampled_from(
    [
        *(OK, b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 X\r\n", b"HTTP/1.1 304 X\r\n"),
        *(b"content-length: 3\r\n", b"content-length: 0\r\n", b"Content-Length:3\r\n"),
        *(b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip, chunked\r\n"),
        *(b"connection: close\r\n", b"connection: keep-alive\r\n", b" folded\r\n", b"x: y\r\n"),
        *(b"3\r\nabc\r\n", b"0\r\n\r\n", b"5;x\r\nhello\r\n", b"abc", b"0\r\n"),
        *(b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n", b"\n", b"\r"),
    ]
)


@given(
    parts=st.lists(st.one_of(_pieces, st.binary(max_size=6)), max_size=12),
    cuts=st.lists(st.integers(0, 200), max_size=3),
)
@example(parts=[b"HTTP/1.1 200 OK\r\n", b"content-length: 3\r\n", b"\r\n", b"abc"], cuts=[20])
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_whatever_comes_it_ends_and_agrees_with_h11(parts, cuts):
    """It never hangs and never returns a different body than h11; it may only refuse more."""
    answer = b"".join(parts)
    edges = [0, *sorted(c for c in cuts if c < len(answer)), len(answer)]
    found = await receive(*(answer[a:b] for a, b in itertools.pairwise(edges)))
    expected = by_h11(answer)
    if found.error is None and expected.error is None:
        assert (found.status, found.body) == (expected.status, expected.body)


PATH = "/v1/completions"


async def kept(client: EngineClient, url: str) -> None:
    """Make one request, after which its connection is kept."""
    answer = await client.post(url, PATH, b"{}", {})
    await answer.read_all(1024)
    answer.close()


TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize("last_words", [b"", TIMED_OUT], ids=["closes", "says 408"])
async def test_a_connection_lost_before_the_write_was_not_asked(engine, last_words):
    """The engine closes an idle connection at the moment it is reused."""
    async with EngineClient(Timeouts()) as client:
        await kept(client, engine.url)
        asking = asyncio.ensure_future(client.post(engine.url, PATH, b"{}", {}))
        await asyncio.sleep(0)  # taken, and the write waits for others
        (connection,) = client._pools[engine.url]._busy
        if last_words:
            connection.data_received(last_words)
        else:
            connection.abort()
        answer = await asking
        assert answer.status == 200
        answer.close()
    assert len(engine.seen) == 2


async def test_a_pool_stays_while_it_connects(black_hole, until):
    """If the pool were swept, nobody would close its connection."""
    url = black_hole().url
    timeouts = Timeouts(connect_s=0.5, first_byte_s=0.04, between_chunks_s=0.04)
    async with EngineClient(timeouts) as client:  # sweeps every 10 ms
        asking = asyncio.ensure_future(client.post(url, PATH, b"{}", {}))
        await asyncio.sleep(0.2)
        assert url in client._pools
        with pytest.raises(NotSent):
            await asking
        await until(lambda: not client._pools)


async def test_an_engine_that_hangs_up_is_not_asked_over_and_over():
    accepted = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, EngineClient(Timeouts()) as client:
        with pytest.raises((NotSent, Unavailable)):
            await client.post(url, PATH, b"{}", {})
    assert accepted == 1


async def test_a_connection_lost_after_the_write_may_have_been_asked(engine):
    arrived = asyncio.Event()

    async def reply(_):
        arrived.set()
        await asyncio.sleep(30)
        return web.json_response({})

    async with EngineClient(Timeouts()) as client:
        await kept(client, engine.url)
        engine.reply = reply
        asking = asyncio.ensure_future(client.post(engine.url, PATH, b"{}", {}))
        await asyncio.wait_for(arrived.wait(), 5)
        (connection,) = client._pools[engine.url]._busy
        connection.abort()
        with pytest.raises(Unavailable):
            await asking
    assert len(engine.seen) == 2


async def test_a_caller_that_left_before_the_write_asks_nothing(engine):
    async with EngineClient(Timeouts()) as client:
        await kept(client, engine.url)
        asking = asyncio.ensure_future(client.post(engine.url, PATH, b"{}", {}))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(0.1)
    assert len(engine.seen) == 1
