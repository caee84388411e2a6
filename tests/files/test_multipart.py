"""Tests that forms which cannot be parsed return 400, never 500."""

from __future__ import annotations

import pytest

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    b"--b\r\nContent-Disposition: %b\r\n\r\nhello\r\n--b--\r\n"
)
PLAIN = "multipart/form-data; boundary=b"


def form(disposition: bytes) -> bytes:
    return FORM % disposition


@pytest.mark.parametrize(
    ("disposition", "content_type"),
    [
        (b'form-data; name="file"; filename="\xff"', PLAIN),
        (b'form-data; name="\xff"; filename="a"', PLAIN),
        (b'form-data; name="file"; filename="a"', "multipart/form-data; form-data*0*"),
    ],
)
async def test_what_the_parser_cannot_read_is_400(http, disposition, content_type):
    answer = await http.post(
        "/v1/files", content=form(disposition), headers={"content-type": content_type}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_multipart"
    if content_type == PLAIN:
        assert "UTF-8" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('form-data; name="file"; filename="質問.jsonl"'.encode(), "質問.jsonl"),
        (b"form-data; name=\"file\"; filename*=UTF-8''%E8%B3%AA.jsonl", "質.jsonl"),
        (b"form-data; name=\"file\"; filename*=UTF-8''%ff.jsonl", "�.jsonl"),
    ],
)
async def test_names_beyond_ascii_are_kept(http, disposition, name):
    answer = await http.post(
        "/v1/files", content=form(disposition), headers={"content-type": PLAIN}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["filename"] == name
