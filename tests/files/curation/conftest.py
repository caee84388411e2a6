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
def operation(http: httpx.AsyncClient) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Create an operation, and wait until it has ended."""

    async def operation(path: str, **body: Any) -> dict[str, Any]:
        answer = await http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        async with asyncio.timeout(180):
            while found["status"] in ("queued", "in_progress"):
                url = f"{path}/{found['id']}"
                found = (await http.get(url, params={"wait": 30})).json()
        return found

    return operation


@pytest.fixture
def report(
    http: httpx.AsyncClient, operation: Callable[..., Awaitable[dict[str, Any]]]
) -> Callable[..., Awaitable[httpx.Response]]:
    """Create a report, wait until it is completed, and return its content."""

    async def report(file_id: str, form: str = "json", **body: Any) -> httpx.Response:
        made = await operation("/v1/dataset_reports", file_id=file_id, **body)
        assert made["status"] == "completed", made["error"]
        return await http.get(f"/v1/dataset_reports/{made['id']}/content", params={"format": form})

    return report


@pytest.fixture
def rows(
    http: httpx.AsyncClient, operation: Callable[..., Awaitable[dict[str, Any]]]
) -> Callable[..., Awaitable[httpx.Response]]:
    """Create a report, wait until it is completed, and return rows of it."""

    async def rows(file_id: str, **params: Any) -> httpx.Response:
        made = await operation("/v1/dataset_reports", file_id=file_id)
        assert made["status"] == "completed", made["error"]
        return await http.get(f"/v1/dataset_reports/{made['id']}/rows", params=params)

    return rows


@pytest.fixture
def cleaned(
    operation: Callable[..., Awaitable[dict[str, Any]]],
) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Clean a file and wait for the result."""

    async def cleaned(file_id: str, **options: object) -> dict[str, Any]:
        return await operation("/v1/dataset_cleanings", file_id=file_id, **options)

    return cleaned
