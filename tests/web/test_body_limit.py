"""Tests of body size limits, which depend on the route and never on a header."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

import pytest

from service.config import Settings
from tests.conftest import Api

_TYPES = ["application/json", "multipart/form-data; boundary=b", "application/octet-stream", ""]


@pytest.mark.parametrize("content_type", _TYPES)
@pytest.mark.parametrize("path", ["/v1/fine_tuning/jobs", "/v1/uploads"])
async def test_body_over_the_limit_is_refused_whatever_its_type(api: Api, http, path, content_type):
    limit = api.settings.max_json_body_bytes
    headers = {"content-type": content_type} if content_type else {}
    answer = await http.post(path, content=b" " * (limit + 1), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"
    assert str(limit) in answer.json()["error"]["message"]
    below = await http.post(path, content=b" " * limit, headers=headers)
    assert below.status_code == 400


async def test_body_without_a_length_has_the_limit_too(api: Api, http):
    async def chunks():
        for _ in range(api.settings.max_json_body_bytes // 65536 + 1):
            yield b" " * 65536

    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = await http.post("/v1/uploads", content=chunks(), headers=headers)
    assert answer.status_code == 413


async def test_file_of_any_type_keeps_its_own_limit(api: Api, http):
    data = b"x" * (2 * api.settings.max_json_body_bytes)
    api.settings.max_file_bytes = len(data)
    for more, status in ((b"", 200), (b"x", 413)):
        form = await http.post(
            "/v1/files", files={"file": ("f", data + more)}, data={"purpose": "user_data"}
        )
        raw = await http.post(
            "/v1/files?purpose=user_data",
            content=data + more,
            headers={"content-type": "application/octet-stream"},
        )
        assert (form.status_code, raw.status_code) == (status, status)
    assert f"{len(data)} bytes" in raw.json()["error"]["message"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"client_timeout_s": 0.5})


@pytest.mark.parametrize("begun", [b"", b'{"model":'])
async def test_a_json_body_that_does_not_end_is_408(api: Api, begun):
    """Without a key: the body of a JSON route is read before the key is looked up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(api.base_url).port)
    writer.write(
        b"POST /v1/fine_tuning/jobs HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        b"content-length: 99\r\n\r\n" + begun
    )
    head, _, body = (await asyncio.wait_for(reader.readuntil(b"}}"), 60)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["error"]["code"] == "request_timeout"
    writer.close()
