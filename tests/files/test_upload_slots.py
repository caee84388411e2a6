"""Tests of the limit of concurrent uploads, with real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest

from service.core.backpressure import Slots
from service.files.upload import upload_slots
from tests.conftest import Api

HALF = b"0" * 100_000


@pytest.fixture
async def part_path(http: httpx.AsyncClient) -> str:
    body = {"filename": "f", "purpose": "user_data", "bytes": len(HALF), "mime_type": "x/y"}
    upload = (await http.post("/v1/uploads", json=body)).json()["id"]
    return f"/v1/uploads/{upload}/parts"


@pytest.fixture
def wait_s() -> float:
    """How long an upload waits for a slot."""
    return 30


@pytest.fixture
def slots(api: Api, wait_s: float) -> Slots:
    """The slots of the api: only one."""
    api.app.state.upload_slots = upload_slots(1, wait_s=wait_s)
    return api.app.state.upload_slots


@pytest.fixture
async def silent(
    api: Api, http: httpx.AsyncClient, slots: Slots
) -> AsyncIterator[asyncio.StreamWriter]:
    """The connection of an upload that has the only slot and sends half of its body."""
    url = urlsplit(api.base_url)
    _, writer = await asyncio.open_connection(url.hostname, url.port)
    head = (
        f"POST /v1/files?purpose=user_data HTTP/1.1\r\nhost: x\r\n"
        f"authorization: {http.headers['authorization']}\r\n"
        f"content-type: application/octet-stream\r\ncontent-length: {2 * len(HALF)}\r\n\r\n"
    )
    writer.write(head.encode() + HALF)
    async with asyncio.timeout(60):
        while not slots.held:
            await asyncio.sleep(0.01)
    yield writer
    writer.close()


async def send(http: httpx.AsyncClient, path: str, purpose: str = "user_data") -> httpx.Response:
    headers = {"content-type": "application/octet-stream"}
    return await http.post(path, content=HALF, params={"purpose": purpose}, headers=headers)


@pytest.mark.parametrize("wait_s", [0.05])
async def test_an_upload_without_a_slot_is_refused(http, silent, part_path):
    for path in ("/v1/files", part_path):
        answer = await send(http, path)
        assert answer.status_code == 429
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "limit_reached")
        assert int(answer.headers["retry-after"]) >= 1
    assert (await http.get("/v1/files")).status_code == 200


async def test_a_client_that_disconnects_gives_its_slot_to_the_next(http, silent, slots):
    waiting = asyncio.create_task(send(http, "/v1/files"))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    silent.close()
    assert (await waiting).status_code == 200
    assert slots.held == 0


async def test_each_end_of_an_upload_returns_its_slot(http, part_path, slots):
    for path, purpose, status in (
        ("/v1/files", "user_data", 200),
        ("/v1/files", "unknown", 400),
        (part_path, "", 200),
    ):
        assert (await send(http, path, purpose)).status_code == status
        assert slots.held == 0
