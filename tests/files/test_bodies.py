"""Tests of upload bodies: multipart forms, raw bytes, and format options in both."""

from __future__ import annotations

import json
import os
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import Api

OCTETS = {"content-type": "application/octet-stream"}
OPTIONS = {
    "container": "csv",
    "delimiter": ";",
    "encoding": "gb18030",
    "columns": {"prompt": "Frage [de]", "completion": "答案"},
    "roles": {"客户": "user"},
    "system": "Sei kurz.\nUnd freundlich.",
}


async def raw(http: httpx.AsyncClient, data: bytes, **params: str) -> httpx.Response:
    return await http.post(
        "/v1/files", content=data, headers=OCTETS, params={"purpose": "user_data"} | params
    )


async def recorded(api: Api, file_id: str):
    project = await api.app.state.projects.by_name("acme")
    return await api.app.state.files.records.get(project.id, file_id)


async def test_raw_body_makes_the_same_record_as_a_form(api: Api, http):
    expiry = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    said = {"purpose": "user_data", "format": json.dumps(OPTIONS), **expiry}
    form = await http.post("/v1/files", files={"file": ("顧客 1.csv", b"a;b")}, data=said)
    bare = await raw(http, b"a;b", filename="顧客 1.csv", format=json.dumps(OPTIONS), **expiry)
    assert form.status_code == bare.status_code == 200, bare.text
    one, other = [await recorded(api, a.json()["id"]) for a in (form, bare)]
    differ = {"id", "created_at", "expires_at"}
    assert one.model_dump(exclude=differ) == other.model_dump(exclude=differ)
    assert one.format == OPTIONS
    assert other.expires_at == other.created_at + 3600
    content = await http.get(f"/v1/files/{other.id}/content")
    assert content.content == b"a;b"


async def test_large_bodies_are_stored_byte_for_byte(http):
    """More than storage's writer buffers, with no two blocks alike."""
    data = os.urandom(33_333_333)
    form = await http.post("/v1/files", files={"file": ("f", data)}, data={"purpose": "user_data"})
    for answer in (form, await raw(http, data)):
        content = await http.get(f"/v1/files/{answer.json()['id']}/content")
        assert content.content == data


async def test_the_sdk_sends_format_options_in_extra_body(api: Api):
    async with openai.AsyncOpenAI(
        base_url=f"{api.base_url}/v1", api_key=await api.key(), max_retries=0
    ) as sdk:
        file = await sdk.files.create(
            file=("a.csv", b"a;b"), purpose="user_data", extra_body={"format": OPTIONS}
        )
    assert (await recorded(api, file.id)).format == OPTIONS


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"format": "csv"}, "format"),
        ({"format": "[1]"}, "format"),
        ({"format": '{"delimiter": ";;"}'}, "format.delimiter"),
        ({"format": '{"header_row": -1}'}, "format.header_row"),
        ({"format": '{"container": "doc"}'}, "format.container"),
        ({"format": '{"color": 1}'}, "format.color"),
        ({"format[container]": "doc"}, "format.container"),
        ({"format[columns][prompt]": ""}, "format.columns.prompt"),
        ({"format[a][b][c]": "x"}, "format.a"),
        ({"format[columns]": "x"}, "format.columns"),
        ({"format[]": "x"}, "format[]"),
        ({"format": "{}", "format[container]": "csv"}, "format"),
        ({"format": json.dumps({"system": "x" * 16_384})}, "format"),
        ({"format": "[" * 16_000}, "format"),
    ],
)
async def test_bad_format_is_refused_and_leaves_nothing(api: Api, http, fields, param):
    form = await http.post(
        "/v1/files", files={"file": ("f", b"x")}, data={"purpose": "user_data", **fields}
    )
    bare = await raw(http, b"x", **fields)
    for answer in (form, bare):
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] == param
    assert (await http.get("/v1/files")).json()["data"] == []
    storage = api.settings.data_dir / "storage"
    assert [p for p in storage.rglob("*") if p.is_file() and p.name != ".health"] == []


def form_of(*parts: bytes, end: bytes = b"--b--\r\n") -> dict[str, Any]:
    return {
        "content": b"".join(b"--b\r\n" + part for part in parts) + end,
        "headers": {"content-type": FORM_TYPE},
    }


def form_with(disposition: bytes) -> bytes:
    part = b"Content-Disposition: %b\r\n\r\nhello\r\n" % disposition
    return bytes(form_of(PURPOSE, part)["content"])


FORM_TYPE = "multipart/form-data; boundary=b"
PURPOSE = b'Content-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
FILE = b'Content-Disposition: form-data; name="file"; filename="f"\r\n\r\nx\r\n'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (form_of(PURPOSE, FILE, FILE), "one file"),
        (form_of(PURPOSE, FILE, end=b""), "no closing boundary"),
        (form_of(PURPOSE, b"X: " + b"y" * 1_000_000 + b"\r\n\r\n\r\n", FILE), "131072"),
        (form_of(b'Content-Disposition: form-data; name="z"\r\n\r\n' + b"y" * 1_000_000), "131072"),
        (form_of(end=b"--c\r\n"), "malformed"),
    ],
    ids=["two-files", "no-end", "endless-header", "endless-field", "wrong-boundary"],
)
async def test_a_malformed_form_is_refused(http, body, words):
    assert (await http.post("/v1/files", **form_of(PURPOSE, FILE))).status_code == 200
    answer = await http.post("/v1/files", **body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("disposition", "content_type"),
    [
        (b'form-data; name="file"; filename="\xff"', FORM_TYPE),
        (b'form-data; name="\xff"; filename="a"', FORM_TYPE),
        (b'form-data; name="file"; filename="a"', "multipart/form-data; form-data*0*"),
    ],
)
async def test_headers_that_cannot_be_read_are_refused(http, disposition, content_type):
    answer = await http.post(
        "/v1/files", content=form_with(disposition), headers={"content-type": content_type}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_multipart"
    if content_type == FORM_TYPE:
        assert "UTF-8" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('form-data; name="file"; filename="質問.jsonl"'.encode(), "質問.jsonl"),
        (b"form-data; name=\"file\"; filename*=UTF-8''%E8%B3%AA.jsonl", "質.jsonl"),
        (b"form-data; name=\"file\"; filename*=UTF-8''%ff.jsonl", "�.jsonl"),
    ],
)
async def test_file_names_beyond_ascii_are_kept(http, disposition, name):
    answer = await http.post(
        "/v1/files", content=form_with(disposition), headers={"content-type": FORM_TYPE}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["filename"] == name
