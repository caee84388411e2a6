"""Tests of requests that an application handles without a task."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from starlette.types import Scope

from service.web.wire.heads import RequestHead
from service.web.wire.protocol import HandledRequest, HttpProtocol
from tests.conftest import running

PATH = "/v1/chat/completions"
from_scope = RequestHead.from_scope


def body_of(request: HandledRequest) -> bytes:
    assert request.body is not None
    return request.body


def reading(client: Client) -> asyncio.ReadTransport:
    transport = client.writer.transport
    assert isinstance(transport, asyncio.ReadTransport)
    return transport


def request(body: bytes, path: str = PATH, extra: bytes = b"") -> bytes:
    head = b"POST %b HTTP/1.1\r\nhost: a\r\n%bcontent-length: %d\r\n\r\n"
    return head % (path.encode(), extra, len(body)) + body


class Application:
    """Responds with the request's body: as a handler if it may, or as an ASGI application."""

    paths = frozenset({PATH})

    def __init__(self) -> None:
        self.handler: Application | None = self
        self.taken: list[bytes] = []
        self.waits = asyncio.Event()
        self.waits.set()
        self.gone = asyncio.Event()
        self.ready = asyncio.Event()

    def handle(self, request: HandledRequest) -> None:
        self.taken.append(body_of(request))
        assert (request.method, request.path, request.scope["path"]) == ("POST", PATH, PATH)
        request.responder = self
        asyncio.get_running_loop().create_task(self.answer(request))

    async def took(self, requests: int) -> None:
        """Wait until this many requests were handled."""
        async with asyncio.timeout(60):
            while len(self.taken) < requests:
                await asyncio.sleep(0.01)

    async def answer(self, request: HandledRequest) -> None:
        await self.waits.wait()
        if self.gone.is_set():
            return
        body = body_of(request)
        if body == b"stream":
            await self.stream(request)
        elif body == b"break":
            request.begin(200, b"content-length: 9\r\n", has_length=True)
            request.write(b"half")
            request.abort()
        else:
            request.respond(200, b"content-length: %d\r\n" % len(body), body)

    async def stream(self, request: HandledRequest) -> None:
        """Send 64 MiB in parts, when the client reads them."""
        request.begin(200, b"", has_length=False)
        for _ in range(1024):
            while request.is_slow and not self.gone.is_set():
                self.ready.clear()
                await self.ready.wait()
            request.write(bytes(65536))
        request.end(b"end")

    def client_gone(self) -> None:
        self.gone.set()
        self.ready.set()

    def client_ready(self) -> None:
        self.ready.set()

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
async def connected(
    app: Application, client_timeout_s: float = 60.0, **options
) -> AsyncIterator[Client]:
    protocol = HttpProtocol.with_limits(client_timeout_s, application=app)
    async with running(app, http=protocol, **{"lifespan": "off", **options}) as url:
        client = Client(*await asyncio.open_connection("127.0.0.1", urlsplit(url).port))
        with contextlib.closing(client.writer):
            yield client


async def test_small_requests_are_handled_in_one_packet_or_in_several():
    app = Application()
    async with connected(app) as client:
        assert await client.ask(b"one") == b"one"
        assert await client.ask(b"second", extra=b"x-a: b\r\n") == b"second"
        whole = request(b"third")
        for cut in (5, len(whole) - 5, len(whole) - 1):
            client.writer.write(whole[:cut])
            await asyncio.sleep(0.05)
            client.writer.write(whole[cut:])
            assert await client.read() == b"third"
        big = b"x" * 65_536
        assert await client.ask(big) == big
    assert app.taken == [b"one", b"second", b"third", b"third", b"third", big]


async def test_a_repeated_head_is_not_parsed(monkeypatch):
    parsed = []

    def counted(scope: Scope) -> RequestHead | None:
        parsed.append(scope)
        return from_scope(scope)

    monkeypatch.setattr(RequestHead, "from_scope", counted)
    app = Application()
    async with connected(app) as client:
        assert await client.ask(b"one") == b"one"
        assert await client.ask(b"second") == b"second"
        assert await client.ask(b"third", extra=b"x-a: b\r\n") == b"third"
        assert await client.ask(b"fourth", extra=b"x-a: b\r\n") == b"fourth"
    assert len(parsed) == 2


async def test_other_paths_and_unusual_requests_are_left_to_the_application():
    app = Application()
    async with connected(app) as client:
        assert await client.ask(b"one", path="/elsewhere") == b"parsed one"
        assert await client.ask(b"two", extra=b"te: trailers\r\n") == b"parsed two"
        big = b"x" * 65_537
        assert await client.ask(big) == b"parsed " + big
        app.handler = None
        assert await client.ask(b"three") == b"parsed three"
    assert app.taken == []


async def test_requests_sent_before_the_response_are_answered_in_order():
    app = Application()
    async with connected(app) as client:
        app.waits.clear()
        client.writer.write(request(b"two"))
        await app.took(1)
        client.writer.write(request(b"three") + request(b"four", path="/elsewhere"))
        await asyncio.sleep(0.05)
        client.writer.write(request(b"five") + request(b"six"))
        await asyncio.sleep(0.05)
        assert app.taken == [b"two"]
        app.waits.set()
        told = [await client.read() for _ in range(5)]
    assert told == [b"two", b"three", b"parsed four", b"five", b"six"]


async def test_thousands_of_requests_in_a_packet_are_answered_in_order():
    class Immediate(Application):
        def handle(self, request: HandledRequest) -> None:
            body = body_of(request)
            request.respond(200, b"content-length: %d\r\n" % len(body), body)

    bodies = [b"%d" % number for number in range(3000)]
    async with connected(Immediate()) as client:
        client.writer.write(b"".join(map(request, bodies)))
        assert [await client.read() for _ in bodies] == bodies


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


async def test_a_client_that_does_not_read_gets_no_more_until_it_does():
    app = Application()
    async with connected(app) as client:
        reading(client).pause_reading()
        client.writer.write(request(b"stream"))
        async with asyncio.timeout(60):
            await app.took(1)
            while not app.ready.is_set() and not app.waits.is_set():
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        reading(client).resume_reading()
        size = 0
        async with asyncio.timeout(60):
            await client.reader.readuntil(b"\r\n\r\n")
            while size_line := await client.reader.readuntil(b"\r\n"):
                if not (part := int(size_line, 16)):
                    break
                size += len(await client.reader.readexactly(part + 2)) - 2
    assert size == 1024 * 65536 + 3


async def test_a_response_that_breaks_ends_with_the_connection():
    async with connected(Application()) as client:
        client.writer.write(request(b"break"))
        told = await asyncio.wait_for(client.reader.read(), 60)
    assert told.endswith(b"\r\n\r\nhalf")


async def test_a_stopping_server_answers_first():
    app = Application()
    protocol = HttpProtocol.with_limits(60.0, application=app)
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


async def test_a_body_that_does_not_arrive_is_408():
    app = Application()
    async with connected(app, client_timeout_s=0.2) as client:
        client.writer.write(request(b"some body")[:-1])
        told = await asyncio.wait_for(client.reader.read(), 60)
    assert told.startswith(b"HTTP/1.1 408 ")
    assert app.taken == []


async def test_a_malformed_body_ends_the_connection_after_earlier_responses():
    turn = asyncio.Semaphore(0)

    class OneByOne(Application):
        async def answer(self, request: HandledRequest) -> None:
            await turn.acquire()
            await super().answer(request)

    app = OneByOne()
    chunked = request(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    async with connected(app) as client:
        client.writer.write(request(b"one") + request(b"two") + chunked)
        turn.release()
        assert await client.read() == b"one"
        await app.took(2)
        client.writer.write(b"no chunk\r\n")
        await asyncio.sleep(0.1)
        turn.release()
        assert await client.read() == b"two"
        assert await asyncio.wait_for(client.reader.read(), 5) == b""


@pytest.mark.parametrize("number", [1, 2])
async def test_requests_before_malformed_bytes_in_the_same_packet_are_answered(number):
    app = Application()
    async with connected(app) as client:
        client.writer.write(request(b"one") * number + b"garbage\r\n\r\n")
        told = await asyncio.wait_for(client.reader.read(), 5)
    assert told.count(b"HTTP/1.1 200 OK") == number
    assert told.endswith(b"one")
