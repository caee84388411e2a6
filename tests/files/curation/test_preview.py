"""Tests of previews over HTTP: created once by a worker, for files in any status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.conftest import Api, checked, upload

pytestmark = pytest.mark.slow

TABLE = "Kunde;Wir\nWann öffnen Sie?;Um neun Uhr.\nWo sind Sie?;Am Marktplatz.\n".encode()
MAPPED: dict[str, dict[str, str]] = {"columns": {"prompt": "Kunde", "completion": "Wir"}}
VALUES = ("ann.miller@example.com", "ANN.MILLER@example.com", "7946 0123", "C-123456")
PERSONAL = b"""Kunde,Wir
I am C-123456.,Write to ann.miller@example.com.
My phone is 020 7946 0123.,"Thank you, ANN.MILLER@example.com."
"""
Ask = Callable[..., Awaitable[dict[str, Any]]]
PREVIEWS = "/v1/dataset_previews"


@pytest.fixture
def ask(http: httpx.AsyncClient, operation: Callable[..., Awaitable[dict[str, Any]]]) -> Ask:
    """Preview a file, and return the operation with its content in `content`."""

    async def ask(file_id: str, **body: Any) -> dict[str, Any]:
        made = await operation(PREVIEWS, file_id=file_id, **body)
        content = await http.get(f"{PREVIEWS}/{made['id']}/content")
        return {**made, "content": content.json()}

    return ask


async def test_a_file_with_errors_is_read_with_other_options(api: Api, http, work, put, ask):
    file_id = await put(TABLE, "fragen.csv")
    async with work("cpu"):
        assert (await checked(http, file_id))["status"] == "error"
        first = await ask(file_id)
        second = await ask(file_id, format=MAPPED, limit=1)
        stored = _stored(api)
        for path in stored:
            path.unlink()
        anew = await ask(file_id)
    assert (first["file_id"], first["format"], first["limit"]) == (file_id, {}, 20)
    assert first["id"].startswith("filepreview-")
    assert first["result"] == {
        "container": "csv",
        "compression": None,
        "encoding": "UTF-8",
        "shape": None,
        "rows": 2,
        "findings": 0,
        "error_code": "unknown_columns",
    }
    assert (second["result"]["shape"], second["result"]["error_code"]) == (
        "prompt_completion",
        None,
    )
    unknown, mapped = first["content"], second["content"]
    assert set(unknown["error"]) >= {"code", "message", "fix", "line"}
    assert unknown["error"]["code"] == "unknown_columns"
    assert unknown["rows"][0]["record"] == {"Kunde": "Wann öffnen Sie?", "Wir": "Um neun Uhr."}
    assert unknown["rows"][0]["row"] is None
    assert unknown["alternatives"]["columns"][0]["names"] == ["Kunde", "Wir"]
    assert (second["format"], mapped["error"]) == (MAPPED, None)
    [row] = mapped["rows"]
    assert [message["content"] for message in row["row"]["messages"]] == [
        "Wann öffnen Sie?",
        "Um neun Uhr.",
    ]
    assert len(stored) == 2  # one for each set of options
    assert (anew["id"], anew["content"]) == (first["id"], unknown)
    assert len(_stored(api)) == 1
    await http.delete(f"/v1/files/{file_id}")
    assert not _stored(api)
    gone = await http.post(PREVIEWS, json={"file_id": file_id})
    assert (gone.status_code, gone.json()["error"]["param"]) == (404, "file_id")


async def test_personal_data_is_masked_if_asked(http, work, put, ask):
    file_id = await put(PERSONAL, "kunden.csv")
    recognizer = {"pattern": "\\bC-\\d{6}\\b"}
    assert (await http.put("/v1/recognizers/customer", json=recognizer)).is_success
    async with work("cpu"):
        shown = await ask(file_id)
        masked = await ask(file_id, personal_data="mask")
        mapped = await ask(file_id, personal_data="mask", format=MAPPED)
    assert (shown["personal_data"], masked["personal_data"]) == ("show", "mask")
    assert "ann.miller@example.com" in str(shown["content"])
    assert len({shown["id"], masked["id"], mapped["id"]}) == 3
    for content in (masked["content"], mapped["content"]):
        assert not [value for value in VALUES if value in str(content)]
    [record, _] = [row["record"] for row in masked["content"]["rows"]]
    assert record == {"Kunde": "I am [CUSTOMER].", "Wir": "Write to [EMAIL]."}
    [question, answer] = mapped["content"]["rows"][1]["row"]["messages"]
    assert question["content"].startswith("My phone is [")
    assert answer["content"] == "Thank you, [EMAIL]."  # its spelling differs


async def test_options_of_the_upload_apply_unless_others_are_given(http, put):
    given = {f"format[columns][{field}]": name for field, name in MAPPED["columns"].items()}
    file_id = await put(TABLE, "fragen.csv", **given)
    asked: list[dict[str, Any]] = [
        *({}, {"format": MAPPED}, {"format": MAPPED, "limit": 20}),
        {"format": {}},
    ]
    pending = [
        (await http.post(PREVIEWS, json={"file_id": file_id, **body})).json()["id"]
        for body in asked
    ]
    assert pending[0] == pending[1] == pending[2] != pending[3]


async def test_invalid_requests_are_refused(http, put):
    file_id = await put(TABLE, "fragen.csv")
    note = await put(b"hello", "note.txt", purpose="user_data")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"file_id": file_id, "limit": 0}, "limit"),
        ({"file_id": file_id, "limit": 101}, "limit"),
        ({"file_id": file_id, "format": {"header_row": -1}}, "format.header_row"),
        ({"file_id": note}, "file_id"),
        ({}, "file_id"),
    ]
    for body, param in wrong:
        answer = await http.post(PREVIEWS, json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), body


async def test_previews_count_as_tasks_of_the_project(api: Api, http, put):
    api.settings.max_file_tasks_per_project = 1
    file_id = await put(TABLE, "fragen.csv")
    ask = {"file_id": file_id}
    assert (await http.post(PREVIEWS, json=ask)).status_code == 200
    full = await http.post(PREVIEWS, json={**ask, "limit": 3})
    assert (full.status_code, full.json()["error"]["code"]) == (429, "limit_reached")
    assert (await http.post(PREVIEWS, json=ask)).status_code == 200  # it is the same
    async with await api.client("other") as other:
        theirs = (await upload(other, TABLE)).json()["id"]
        answer = await other.post(PREVIEWS, json={"file_id": theirs})
        assert answer.status_code == 200


async def test_a_preview_that_fails_says_why(api: Api, http, work, put, ask):
    file_id = await put(TABLE, "fragen.csv")
    [content] = (api.settings.data_dir / "storage").rglob(f"{file_id}/content")
    content.write_bytes(b"other")
    async with work("cpu"):
        made = await ask(file_id)
    assert (made["status"], made["error"]["code"]) == ("failed", "file_error")


def _stored(api: Api) -> list[Any]:
    return list((api.settings.data_dir / "storage").rglob("preview.json"))
