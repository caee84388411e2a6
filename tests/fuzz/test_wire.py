"""Bytes that are nearly HTTP: the server answers or hangs up, and continues to serve others."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any
from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from service.web.wire.protocol import HttpProtocol
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
