"""Bytes that are nearly HTTP: the server answers or hangs up, and continues to serve others."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from service.web.wire.protocol import HandledRequest, HttpProtocol
from tests.conftest import running
from tests.fuzz.mutations import made_up, mutated, patient

pytestmark = patient

SOUND = b"POST /sound HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
ORIGINALS = [
    SOUND,
    b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 2,
    b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" * 2,
    b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}",
    b"POST / HTTP/1.0\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
    b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nPRI * HTTP/2.0",
]
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body of the request."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message.get("more_body", False)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def told(port: int, data: bytes) -> bytes:
    """All that the server says to a client that sends bytes, and then no more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            writer.write_eof()
            return await asyncio.wait_for(reader.read(), 60)
        return b""
    finally:
        writer.close()


async def exchange(requests: list[bytes]) -> tuple[list[bytes], bytes, list[dict[str, Any]]]:
    """Send each to one server, at once, and then a sound request. Returns also the errors."""
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    async with running(echo, http=HttpProtocol, lifespan="off") as url:
        port = urlsplit(url).port or 0
        answers = await asyncio.gather(*(told(port, data) for data in requests))
        sound = await told(port, SOUND)
    return answers, sound, errors


@made_up(20)
@given(st.lists(mutated(st.sampled_from(ORIGINALS)), min_size=1, max_size=20))
def test_no_bytes_break_the_server(requests: list[bytes]) -> None:
    answers, sound, errors = asyncio.run(exchange(requests))
    assert sound.startswith(b"HTTP/1.1 200 ")
    assert sound.endswith(b"\r\n\r\n{}")
    assert errors == []
    for answer in answers:
        assert not answer or _STATUS.match(answer)
        assert all(status < b"500" for status in _STATUS.findall(answer)), answer


KEPT = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}"
_CHANGING = re.compile(rb"(date|x-request-id): [^\r]*")


class Handler:
    """Responds as `echo` does, but without a task."""

    paths = frozenset({"/"})
    handled = 0

    @property
    def handler(self) -> Handler:
        return self

    def handle(self, request: HandledRequest) -> None:
        self.handled += 1
        body = request.body or b""
        request.respond(200, b"content-length: %d\r\n" % len(body), body)


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def write_eof(self) -> None:
        return

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return


async def written(packets: list[bytes], handler: Handler | None) -> bytes:
    """All that a connection writes if it receives packets, without what each response changes."""
    config = uvicorn.Config(echo, lifespan="off", ws="none", log_config=None)
    config.load()
    protocol = HttpProtocol.with_limits(60, application=handler)(
        config, ServerState(), {}, asyncio.get_running_loop()
    )
    transport = Transport()
    protocol.connection_made(transport)
    for packet in packets:
        if not transport.is_closed:
            protocol.data_received(packet)
        for _ in range(100):
            await asyncio.sleep(0)
    protocol.connection_lost(None)
    return _CHANGING.sub(rb"\1: ", transport.written)


@made_up(300)
@given(
    st.lists(mutated(st.sampled_from([*ORIGINALS, KEPT, KEPT])), min_size=1, max_size=3),
    st.lists(st.integers(0, 200), max_size=3),
)
def test_bytes_are_read_alike_with_and_without_a_handler(
    requests: list[bytes], cuts: list[int]
) -> None:
    """Each is sent after a request whose head it may repeat, the first one in several packets."""
    first, *others = requests
    edges = [0, *sorted(cut for cut in cuts if cut < len(first)), len(first)]
    parts = [first[a:b] for a, b in itertools.pairwise(edges) if a < b]
    packets = [KEPT, *parts, *itertools.chain(*((KEPT, other) for other in others))]
    handler = Handler()
    handled = asyncio.run(written(packets, handler))
    assert handler.handled
    assert handled == asyncio.run(written(packets, None))
    assert handled.startswith(b"HTTP/1.1 200 ")
