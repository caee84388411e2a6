"""Copies of chats whose projects store some: what the client gets, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from service.web.auth import Capture, Principal
from service.web.permissions import Role
from tests.inference.conftest import BASE, PROJECTS

KEY = "sk-ft-capturing"
CHAT = {"model": BASE, "messages": [{"role": "user", "content": "Hi"}]}


@dataclass
class Copy:
    """A copy, as the gateway fills it."""

    names: tuple[str, str]
    body: bytes
    chunks: list[bytes] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def keep(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    def end(self, status: int) -> None:
        self.statuses.append(status)


@dataclass
class Copies:
    """All copies. It takes those of chats."""

    made: list[Copy] = field(default_factory=list)
    asked: int = 0

    def begin(
        self, caller: Principal, path: str, names: tuple[str, str], body: bytes
    ) -> Copy | None:
        assert caller.capture is not None
        self.asked += 1
        if not path.endswith("/chat/completions"):
            return None
        self.made.append(Copy(names, body))
        return self.made[-1]


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> Copies:
    capture = Capture(sampling=1, expires_after_days=1)
    caller = Principal("key_c", "proj_acme", "acme", Role.MEMBER, capture=capture)
    monkeypatch.setitem(PROJECTS, KEY, caller)
    return Copies()


async def test_a_copy_has_what_the_client_sent_and_got(gateway, engine, copies):
    client = await gateway(copies=copies)
    got = await client.ask(json=CHAT, key=KEY)
    [copy] = copies.made
    assert (b"".join(copy.chunks), copy.statuses) == (got, [200])
    assert copy.names == (BASE, BASE)
    assert b"cache_salt" not in copy.body
    assert b'"Hi"' in copy.body
    await client.ask(json=CHAT)  # of a project that stores none
    await client.ask(path="/v1/completions", json={"model": BASE, "prompt": "Hi"}, key=KEY)
    assert (copies.asked, len(copies.made)) == (2, 1)


async def test_a_copy_of_a_stream_has_all_events(gateway, engine, copies):
    async def reply(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        for event in (
            '{"choices": [1]}',
            '{"choices": [], "usage": {"prompt_tokens": 1}}',
            "[DONE]",
        ):
            await answer.write(f"data: {event}\n\n".encode())
        return answer

    engine.reply = reply
    client = await gateway(copies=copies)
    got = await client.ask(json={**CHAT, "stream": True}, key=KEY)
    [copy] = copies.made
    assert b"".join(copy.chunks) == got
    assert b"usage" not in got
    assert copy.statuses == [200]


async def test_a_copy_ends_as_its_chat_does(gateway, engine, copies):
    client = await gateway(copies=copies)

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no", "code": 400}}, status=400)

    engine.reply = refuse
    await client.ask(json=CHAT, key=KEY)
    assert copies.made[0].statuses == [400]

    async def hang(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b'data: {"choices": []}\n\n')
        await asyncio.sleep(3600)
        return answer

    engine.reply = hang
    async with client.post(json={**CHAT, "stream": True}, key=KEY) as response:
        await response.content.readany()
    async with asyncio.timeout(60):
        while not copies.made[1].statuses:
            await asyncio.sleep(0.01)
    assert copies.made[1].statuses == [499]
