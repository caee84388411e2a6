"""Tests that an api that is replaced lets streams end, or ends them with an error event."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from service.standalone.services import free_port
from service.standalone.up import DEMO_MODEL
from tests.core.conftest import Valkey
from tests.e2e.site import Node, Site
from tests.http_server import http_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CHAT = {
    "model": DEMO_MODEL,
    "messages": [{"role": "user", "content": "Tell me a long story."}],
    "stream": True,
}
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
SECONDS = 20


async def tell(request: web.Request) -> web.StreamResponse:
    """Answer as an engine does, with a stream that takes 20 s."""
    if request.path == "/health":
        return web.Response()
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(SECONDS * 5):
        await response.write(EVENT)
        await asyncio.sleep(0.2)
    await response.write(b"data: [DONE]\n\n")
    return response


@pytest.fixture
def site(tiny_model_path: Path, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, tiny_model_path, Valkey(tmp_path / "valkey"), None)
    site.env = {"FINETUNED_STORAGE_URL": (tmp_path / "storage").as_uri()}
    site.write_catalogue()
    site.make_key()
    yield site
    for node in site.apis:
        node.close()
    site.store.close()


def start(site: Site, name: str, engine: str, grace_s: int) -> Node:
    port = free_port()
    env = {
        "FINETUNED_API_PORT": str(port),
        "FINETUNED_STOP_GRACE_S": str(grace_s),
        "FINETUNED_UPSTREAMS": json.dumps({DEMO_MODEL: engine}),
    }
    node = site.node(name, ["api"], port, "/livez", env)
    site.apis.append(node)
    node.launch()
    return node


@pytest.mark.parametrize(("grace_s", "is_whole"), [(40, True), (5, False)])
async def test_a_stream_of_an_api_that_stops(site, grace_s, is_whole):
    headers = {"authorization": f"Bearer {site.key}"}
    async with http_server(tell) as engine, aiohttp.ClientSession(headers=headers) as session:
        apis = [start(site, name, engine, grace_s) for name in ("old", "new")]
        for api in apis:
            await asyncio.to_thread(api.until_ready)
        old, new = apis
        async with session.post(f"{old.url}/v1/chat/completions", json=CHAT) as response:
            text = await response.content.readline()
            asked_at = time.monotonic()
            old.terminate()
            async with session.post(f"{new.url}/v1/chat/completions", json=CHAT) as other:
                assert other.status == 200
            text += await response.read()
        await asyncio.to_thread(old.until_ended, 60)
    events = text.decode().split("\n\n")
    assert events.pop() == ""  # the last event is complete
    if is_whole:
        assert events[-1] == "data: [DONE]"
        assert len(events) == SECONDS * 5 + 1
    else:
        error = json.loads(events[-1].removeprefix("data: "))["error"]
        assert (error["type"], error["code"]) == ("server_error", "service_unavailable")
        assert time.monotonic() - asked_at >= grace_s
        assert len(events) > 2
