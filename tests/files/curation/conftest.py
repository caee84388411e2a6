"""Helpers to upload files and wait for a worker's results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.conftest import upload


@pytest.fixture
def put(http: httpx.AsyncClient) -> Callable[..., Awaitable[str]]:
    """Upload bytes under a name, and return the file's id."""

    async def put(data: bytes, name: str = "data.jsonl", **fields: str) -> str:
        answer = await upload(http, data, name=name, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    return put


@pytest.fixture
def report(http: httpx.AsyncClient) -> Callable[..., Awaitable[httpx.Response]]:
    """Request a report, wait until it is ready, and return the response."""

    async def report(file_id: str, **params: str) -> httpx.Response:
        return await _once_ready(http, f"/v1/files/{file_id}/report", params)

    return report


@pytest.fixture
def rows(http: httpx.AsyncClient) -> Callable[..., Awaitable[httpx.Response]]:
    """Request rows, wait until their report is ready, and return the response."""

    async def rows(file_id: str, **params: Any) -> httpx.Response:
        return await _once_ready(http, f"/v1/files/{file_id}/rows", params)

    return rows


async def _once_ready(http: httpx.AsyncClient, path: str, params: dict[str, Any]) -> httpx.Response:
    async with asyncio.timeout(60):
        while True:
            answer = await http.get(path, params=params)
            if answer.status_code != 202:
                return answer
            pending = answer.json()
            assert (pending["object"], pending["status"]) == ("file.report", "in_progress")
            assert answer.headers["retry-after"] == "1"
            await asyncio.sleep(0.1)


@pytest.fixture
def cleaned(http: httpx.AsyncClient) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Clean a file and wait for the result."""

    async def cleaned(file_id: str, **options: object) -> dict[str, Any]:
        answer = await http.post(f"/v1/files/{file_id}/clean", json=options)
        assert answer.status_code == 200, answer.text
        cleaning = answer.json()
        async with asyncio.timeout(60):
            while cleaning["status"] == "in_progress":
                await asyncio.sleep(0.1)
                cleaning = (await http.get(f"/v1/files/{file_id}/clean/{cleaning['id']}")).json()
        return cleaning

    return cleaned
