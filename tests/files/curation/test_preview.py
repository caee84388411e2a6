"""Tests of previews over HTTP: created once by a worker, for files in any status."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.conftest import Api, checked, upload

pytestmark = pytest.mark.slow

TABLE = "Kunde;Wir\nWann öffnen Sie?;Um neun Uhr.\nWo sind Sie?;Am Marktplatz.\n".encode()
MAPPED: dict[str, dict[str, str]] = {"columns": {"prompt": "Kunde", "completion": "Wir"}}
Ask = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def ask(http: httpx.AsyncClient) -> Ask:
    """Request a preview, wait until it is ready, and return the response."""

    async def ask(file_id: str, **body: Any) -> httpx.Response:
        async with asyncio.timeout(60):
            while True:
                answer = await http.post("/v1/files/preview", json={"file_id": file_id, **body})
                if answer.status_code != 202:
                    return answer
                pending = answer.json()
                assert (pending["object"], pending["status"]) == ("file.preview", "in_progress")
                assert answer.headers["retry-after"] == "1"
                await asyncio.sleep(0.1)

    return ask


async def test_a_file_with_errors_is_read_with_other_options(api: Api, http, work, put, ask):
    file_id = await put(TABLE, "fragen.csv")
    assert (await http.post("/v1/files/preview", json={"file_id": file_id})).status_code == 202
    async with work("cpu"):
        assert (await checked(http, file_id))["status"] == "error"
        unknown = (await ask(file_id)).json()
        mapped = (await ask(file_id, format=MAPPED, limit=1)).json()
        again = (await http.post("/v1/files/preview", json={"file_id": file_id})).json()
        stored = _stored(api)
        for path in stored:
            path.unlink()
        assert (await ask(file_id)).status_code == 404
        anew = (await ask(file_id)).json()
    assert (unknown["object"], unknown["file_id"], unknown["status"], unknown["format"]) == (
        "file.preview",
        file_id,
        "completed",
        {},
    )
    assert unknown["id"].startswith("filepreview-")
    assert set(unknown["error"]) >= {"code", "message", "fix", "line"}
    assert unknown["error"]["code"] == "unknown_columns"
    assert unknown["rows"][0]["record"] == {"Kunde": "Wann öffnen Sie?", "Wir": "Um neun Uhr."}
    assert unknown["rows"][0]["row"] is None
    assert unknown["alternatives"]["columns"][0]["names"] == ["Kunde", "Wir"]
    assert (mapped["format"], mapped["error"]) == (MAPPED, None)
    [row] = mapped["rows"]
    assert [message["content"] for message in row["row"]["messages"]] == [
        "Wann öffnen Sie?",
        "Um neun Uhr.",
    ]
    assert len(stored) == 2  # one for each set of options
    assert again == unknown == anew
    assert len(_stored(api)) == 1
    await http.delete(f"/v1/files/{file_id}")
    assert not _stored(api)
    gone = await http.post("/v1/files/preview", json={"file_id": file_id})
    assert (gone.status_code, gone.json()["error"]["param"]) == (404, "file_id")


async def test_options_of_the_upload_apply_unless_others_are_given(http, put):
    given = {f"format[columns][{field}]": name for field, name in MAPPED["columns"].items()}
    file_id = await put(TABLE, "fragen.csv", **given)
    asked: list[dict[str, Any]] = [
        *({}, {"format": MAPPED}, {"format": MAPPED, "limit": 20}),
        {"format": {}},
    ]
    pending = [
        (await http.post("/v1/files/preview", json={"file_id": file_id, **body})).json()["id"]
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
        answer = await http.post("/v1/files/preview", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), body
    # The name is no ID of a file, so that the path has only POST.
    assert (await http.get("/v1/files/preview")).status_code == 405


async def test_previews_count_as_tasks_of_the_project(api: Api, http, put):
    api.settings.max_file_tasks_per_project = 1
    file_id = await put(TABLE, "fragen.csv")
    ask = {"file_id": file_id}
    assert (await http.post("/v1/files/preview", json=ask)).status_code == 202
    full = await http.post("/v1/files/preview", json={**ask, "limit": 3})
    assert (full.status_code, full.json()["error"]["code"]) == (429, "limit_reached")
    assert (await http.post("/v1/files/preview", json=ask)).status_code == 202  # it is the same
    async with await api.client("other") as other:
        theirs = (await upload(other, TABLE)).json()["id"]
        answer = await other.post("/v1/files/preview", json={"file_id": theirs})
        assert answer.status_code == 202


async def test_a_preview_that_fails_says_why(api: Api, http, work, put, ask):
    file_id = await put(TABLE, "fragen.csv")
    [content] = (api.settings.data_dir / "storage").rglob(f"{file_id}/content")
    content.write_bytes(b"other")
    async with work("cpu"):
        answer = await ask(file_id)
    assert answer.status_code == 400
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == (
        "file_error",
        "file_id",
    )


def _stored(api: Api) -> list[Any]:
    return list((api.settings.data_dir / "storage").rglob("preview.json"))
