"""Tests of connections whose repeated requests take a short cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from starlette.types import ASGIApp, Scope

from service.web.wire.express import ExpressProtocol
from service.web.wire.repeated import RequestHead
from tests.conftest import running

PATH = "/v1/chat/completions"
of = RequestHead.of


def request(body: bytes, path: str = PATH, extra: bytes = b"") -> bytes:
    head = b"POST %b HTTP/1.1\r\nhost: a\r\n%bcontent-length: %d\r\n\r\n"
    return head % (path.encode(), extra, len(body)) + body


class Application:
    """Answers with the request's body, by callbacks if it can."""

    paths = frozenset({PATH})

    def __init__(self) -> None:
        self.express: Application | None = self
        self.taken: list[bytes] = []
        self.waits = asyncio.Event()
        self.waits.set()
        self.hands_over = False
        self.continues: ASGIApp = self.late
        self.gone = asyncio.Event()
        self.disconnected = asyncio.Event()

    def begin(self, client, head, body) -> bool:
        self.taken.append(body)
        if body == b"no":
            return False
        client.expect(self)
        asyncio.get_running_loop().create_task(self.answer(client, body))
        return True

    async def took(self, requests: int) -> None:
        """Wait until this many requests took the short cut."""
        async with asyncio.timeout(60):
            while len(self.taken) < requests:
                await asyncio.sleep(0.01)

    async def answer(self, client, body) -> None:
        await self.waits.wait()
        if self.gone.is_set():
            return
        if self.hands_over:
            client.hand_over(self.continues)
        else:
            client.respond(b"content-length: %d\r\n" % len(body), body)

    def client_gone(self) -> None:
        self.gone.set()

    async def late(self, scope, receive, send) -> None:
        """Answer a request that was handed over."""
        assert (scope["path"], scope["headers"]) == (PATH, [(b"host", b"a")])
        await self.say(send, b"late")

    async def hold(self, scope, receive, send) -> None:
        """Wait until the client is gone."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.disconnected.set()

    async def __call__(self, scope, receive, send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        await self.say(send, b"parsed " + body)

    async def say(self, send, body: bytes) -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Client:
    """A connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, body: bytes, **options) -> bytes:
        self.writer.write(request(body, **options))
        return await self.read()

    async def read(self) -> bytes:
        """Return the body of the next response."""
        async with asyncio.timeout(60):
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200 ok\r\n")
            assert head.count(b"\r\ndate: ") == 1
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            return await self.reader.readexactly(length)


@contextlib.asynccontextmanager
async def connected(app: Application, **options) -> AsyncIterator[Client]:
    protocol = ExpressProtocol.with_limits(60.0, application=app)
    async with running(app, http=protocol, **{"lifespan": "off", **options}) as url:
        client = Client(*await asyncio.open_connection("127.0.0.1", urlsplit(url).port))
        with contextlib.closing(client.writer):
            yield client


async def test_a_complete_request_takes_the_short_cut():
    app = Application()
    async with connected(app) as client:
        assert await client.ask(b"one") == b"one"
        assert await client.ask(b"second") == b"second"
        assert await client.ask(b"no") == b"parsed no"  # it did not want this one
        assert await client.ask(b"no", extra=b"x-a: b\r\n") == b"parsed no"
        assert await client.ask(b"third") == b"third"
    assert app.taken == [b"one", b"second", b"no", b"no", b"third"]


async def test_a_repeated_head_is_not_parsed(monkeypatch):
    parsed = []

    def counted(data: bytes, scope: Scope) -> RequestHead | None:
        parsed.append(data)
        return of(data, scope)

    monkeypatch.setattr(RequestHead, "of", counted)
    app = Application()
    async with connected(app) as client:
        assert await client.ask(b"one") == b"one"
        assert await client.ask(b"second") == b"second"
        assert await client.ask(b"third", extra=b"x-a: b\r\n") == b"third"
        assert await client.ask(b"fourth", extra=b"x-a: b\r\n") == b"fourth"
    assert len(parsed) == 2


async def test_other_paths_and_unusual_requests_take_no_short_cut():
    app = Application()
    async with connected(app) as client:
        assert await client.ask(b"one", path="/elsewhere") == b"parsed one"
        assert await client.ask(b"two", extra=b"te: trailers\r\n") == b"parsed two"
        big = b"x" * 65_537
        assert await client.ask(big) == b"parsed " + big
        client.writer.write(request(b"three") + request(b"four"))
        assert [await client.read(), await client.read()] == [b"parsed three", b"parsed four"]
        whole = request(b"five")
        client.writer.write(whole[:-1])
        await asyncio.sleep(0.05)
        client.writer.write(whole[-1:])
        assert await client.read() == b"parsed five"
    assert app.taken == []


async def test_an_application_without_a_short_cut_gets_requests_as_usual():
    app = Application()
    app.express = None
    async with connected(app) as client:
        assert await client.ask(b"one") == b"parsed one"
        assert await client.ask(b"two") == b"parsed two"


@pytest.mark.parametrize("hands_over", [False, True])
async def test_requests_sent_before_the_answer_are_answered_in_order(hands_over):
    app = Application()
    async with connected(app) as client:
        app.hands_over = hands_over
        app.waits.clear()
        client.writer.write(request(b"two"))
        await app.took(1)
        client.writer.write(request(b"three"))
        await asyncio.sleep(0.05)
        client.writer.write(request(b"four") + request(b"five"))
        await asyncio.sleep(0.05)
        assert app.taken == [b"two"]
        app.waits.set()
        first = b"late" if hands_over else b"two"
        told = [await client.read() for _ in range(4)]
    assert told[0] == first
    assert [text.removeprefix(b"parsed ") for text in told[1:]] == [b"three", b"four", b"five"]


async def test_a_request_behind_one_that_is_parsed_waits_for_it():
    app = Application()
    async with connected(app) as client:
        await client.ask(b"one")
        client.writer.write(request(b"no"))
        client.writer.write(request(b"two"))
        told = [await client.read(), await client.read()]
    assert [text.removeprefix(b"parsed ") for text in told] == [b"no", b"two"]


async def test_a_client_that_leaves_is_reported():
    app = Application()
    async with connected(app) as client:
        await client.ask(b"one")
        app.waits.clear()
        client.writer.write(request(b"two"))
        await app.took(2)
        client.writer.transport.abort()
        await asyncio.wait_for(app.gone.wait(), 60)
        app.waits.set()


async def test_a_client_that_leaves_after_the_hand_over_is_reported():
    app = Application()
    app.continues = app.hold
    async with connected(app) as client:
        await client.ask(b"one")
        app.hands_over = True
        client.writer.write(request(b"two"))
        await app.took(2)
        client.writer.transport.abort()
        await asyncio.wait_for(app.disconnected.wait(), 60)
    assert not app.gone.is_set()


async def test_a_stopping_server_answers_first():
    app = Application()
    protocol = ExpressProtocol.with_limits(60.0, application=app)
    async with contextlib.AsyncExitStack() as stack:
        serving = running(app, http=protocol, lifespan="off", timeout_graceful_shutdown=30)
        url = await stack.enter_async_context(serving)
        client = Client(*await asyncio.open_connection("127.0.0.1", urlsplit(url).port))
        await client.ask(b"one")
        app.waits.clear()
        client.writer.write(request(b"two"))
        await app.took(2)
        stopping = asyncio.create_task(stack.aclose())
        await asyncio.sleep(0.2)
        app.waits.set()
        assert await client.read() == b"two"
        assert await asyncio.wait_for(client.reader.read(), 60) == b""
        await stopping
        client.writer.close()


async def test_an_idle_connection_is_closed_but_not_one_that_waits():
    app = Application()
    async with connected(app, timeout_keep_alive=1) as client:
        await client.ask(b"one")
        app.waits.clear()
        client.writer.write(request(b"two"))
        await asyncio.sleep(1.5)
        app.waits.set()
        assert await client.read() == b"two"
        assert await asyncio.wait_for(client.reader.read(), 60) == b""
