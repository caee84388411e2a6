"""Tests of file checks over HTTP: formats are detected and converted, or errors have a position.

`tests/datasets/test_formats.py` has all formats and faults.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from service.core import clock
from tests.conftest import Api, checked, upload
from tests.datasets.file_cases import feedback

pytestmark = pytest.mark.slow

PAIRS = [(f"質問 {i}: 営業時間は?", f"答え {i}: 九時から十七時です。") for i in range(12)]


def chat(question: str, answer: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def table(
    pairs: Sequence[tuple[str, ...]], delimiter: str = ",", names=("prompt", "completion")
) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerows([names, *pairs])
    return out.getvalue()


def workbook() -> bytes:
    book = openpyxl.Workbook()
    for row in [("prompt", "completion"), *PAIRS]:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def good() -> dict[str, tuple[bytes, str, str, str | None]]:
    """Return files by name: bytes, container, shape and encoding."""
    return {
        "sjis.csv": (table(PAIRS).encode("cp932"), "csv", "prompt_completion", "Shift-JIS"),
        "rows.xlsx": (workbook(), "xlsx", "prompt_completion", None),
        "chat.jsonl.zst": (
            zstandard.compress(lines([chat(*p) for p in PAIRS])),
            "jsonl",
            "chat",
            "UTF-8",
        ),
    }


async def test_formats_are_detected_and_converted(api: Api, http, work, put):
    formats = good()
    made = {name: await put(data, name) for name, (data, *_) in formats.items()}
    async with work("cpu"):
        files = {name: await checked(http, file_id) for name, file_id in made.items()}
    store = api.app.state.files
    project = (await store.redis.keys("finetuned:*:files"))[0].decode().split(":")[1]
    for name, file in files.items():
        data, container, shape, encoding = formats[name]
        assert (file["status"], file["rows"]) == ("processed", 12), (name, file)
        found = file["found"]
        assert (found["container"], found["shape"]) == (container, shape), name
        assert encoding is None or encoding.lower() in found["encoding"].lower(), (name, found)
        # The bytes are unchanged, and the rows are chats in UTF-8.
        assert (await http.get(f"/v1/files/{file['id']}/content")).content == data
        record = await store.get(project, file["id"], clock.now_s())
        rows = (await store.storage.get_bytes(record.canonical_key)).splitlines()
        assert [json.loads(row) for row in rows] == [chat(*p) for p in PAIRS], name


BOMB = gzip.compress(b"\0" * 1024 * 1024, 9) * 300


def bad() -> dict[str, tuple[bytes, list[str]]]:
    """Return files by name: bytes, and words in the message, case-insensitive."""
    return {
        "bomb.jsonl.gz": (BOMB, ["times"]),
        "ragged.csv": (table([*PAIRS, ("a", "b", "c")]).encode(), ["Line 14", "3 fields"]),
        "roles.jsonl": (
            lines([{"messages": [{"role": "tool", "content": "x"}]}]),
            ["Line 1", "/messages/0"],
        ),
        "image.png": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), ["a picture"]),
    }


async def test_bad_files_end_in_an_error_with_their_line(api: Api, http, work, put):
    refused = bad()
    made = {name: await put(data, name) for name, (data, _) in refused.items()}
    async with work("cpu"):
        files = {name: await checked(http, file_id) for name, file_id in made.items()}
    missing = [
        (name, word, file["status_details"])
        for name, file in files.items()
        for word in refused[name][1]
        if word.lower() not in (file["status_details"] or "").lower()
    ]
    assert not missing, "\n".join(map(str, missing))
    assert {file["status"] for file in files.values()} == {"error"}
    assert list(api.settings.scratch.iterdir()) == []


async def test_columns_are_mapped_by_the_format_options(http, work, put):
    data = table(PAIRS, ";", ("Kunde", "Wir")).encode()
    said = {"columns": {"prompt": "Kunde", "completion": "Wir"}, "system": "Sei freundlich."}
    mapped = await put(data, "a.csv", format=json.dumps(said))
    plain = await put(data, "a.csv")
    async with work("cpu"):
        file, unmapped = await checked(http, mapped), await checked(http, plain)
    assert file["status"] == "processed"
    assert file["format"] == said
    assert file["found"]["columns"] == said["columns"]
    assert unmapped["status"] == "error"
    assert "Kunde" in unmapped["status_details"]


async def test_a_header_row_and_a_column_of_conversations_are_stored_with_the_file(http, work, put):
    """Flattened fields hold the number as text. The second file is checked with other options."""
    rows = [(number, *said) for number in "12" for said in (("user", "Hi"), ("assistant", "Yes?"))]
    data = table([("ticket", "role", "content"), *rows], names=("Exported", "in", "March")).encode()
    named = {"format[header_row]": "2", "format[group_by]": "ticket"}
    talks, words = await put(data, "a.csv", **named), await put(data, "a.csv")
    async with work("cpu"):
        file, plain = await checked(http, talks), await checked(http, words)
    assert (file["status"], file["rows"]) == ("processed", 2)
    assert file["format"] == {"header_row": 2, "group_by": "ticket"}
    assert file["found"]["columns"] == {"group_by": "ticket", "role": "role", "content": "content"}
    assert plain["status"] == "error"
    assert "group_by" in plain["status_details"]


async def test_the_same_bytes_are_not_checked_again(api: Api, http, work, put, caplog):
    data = table(PAIRS).encode("cp932")
    async with work("cpu"):
        first = await checked(http, await put(data, "a.csv"))
        # Another check would fail, because its folder cannot be created.
        api.settings.scratch.parent.mkdir(parents=True, exist_ok=True)
        scratch = api.settings.scratch
        if scratch.exists():
            scratch.rmdir()
        scratch.write_text("no folder")
        again = await checked(http, await put(data, "b.csv"))
        assert (again["status"], again["rows"]) == ("processed", 12)
        assert again["found"] == first["found"]
        # The copy is independent.
        await http.delete(f"/v1/files/{first['id']}")
        store = api.app.state.files
        project = (await store.redis.keys("finetuned:*:files"))[0].decode().split(":")[1]
        record = await store.get(project, again["id"], clock.now_s())
        assert len((await store.storage.get_bytes(record.canonical_key)).splitlines()) == 12
        scratch.unlink()


async def test_bytes_of_another_project_are_checked_again(api: Api, http, work, put):
    """A project must not be able to detect what another one uploaded."""
    data = lines([chat(*p) for p in PAIRS])
    async with work("cpu"), await api.client("other") as other:
        await checked(http, await put(data))
        theirs = (await upload(other, data)).json()["id"]
        assert (await checked(other, theirs))["status"] == "processed"
    store = api.app.state.files
    assert len(await store.redis.keys("finetuned:*:files-by-meaning")) == 2


async def test_eval_items_are_checked_by_their_purpose(http, put, work):
    item = json.dumps({"item": {"question": "?"}}).encode()
    good = await put(item + b"\n" + item, purpose="evals")
    bad = await put(item + b"\n{}", purpose="evals")
    training = await put(item + b"\n{}")
    async with work("cpu"):
        found = await checked(http, good)
        assert (found["status"], found["rows"], found["purpose"]) == ("processed", 2, "evals")
        found = await checked(http, bad)
        assert found["status"] == "error"
        assert found["status_details"] == "Line 2, /item: The row has no object 'item'."
        # The same bytes as training data are not a twin.
        found = await checked(http, training)
        assert found["status_details"].startswith("No columns")
    listed = (await http.get("/v1/files", params={"purpose": "evals"})).json()["data"]
    assert [file["id"] for file in listed] == [bad, good]


MEMO = "# Jam buka\n\nToko buka pukul sembilan, kecuali hari Senin.\n" * 400


async def test_a_markdown_document_becomes_rows_of_texts(api: Api, http, work):
    name, other = "catatan.md", "catatan.jsonl"
    files = [(await upload(http, MEMO.encode(), name=n)).json()["id"] for n in (name, other)]
    async with work("cpu"):
        document, refused = [await checked(http, file_id) for file_id in files]
    assert (document["status"], document["status_details"]) == ("processed", None)
    assert (document["found"]["container"], document["found"]["shape"]) == ("text", "text")
    assert document["format"] is None  # the name is no option
    assert document["rows"] > 10
    assert refused["status"] == "error"  # the same bytes, under a name that says nothing
    project = await api.app.state.projects.by_name("acme")
    record = await api.app.state.files.get(project.id, document["id"], clock.now_s())
    canonical = await api.app.state.storage.get_bytes(record.canonical_key)
    rows = [json.loads(line)["text"] for line in canonical.splitlines()]
    assert "".join("".join(rows).split()) == "".join(MEMO.split())


async def test_a_small_file_with_too_many_bytes_of_rows_is_refused_and_not_stored(
    api: Api, http, work, put, cleaned
):
    answers = pa.DictionaryArray.from_arrays(
        pa.array([0] * 2_000, pa.int32()), pa.array(["a" * 96_000])
    )
    out = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["q"] * 2_000, "completion": answers}), out)
    data = out.getvalue()
    assert len(data) < 10_000  # and 192 MB as rows
    file_id = await put(data, "small.parquet")
    async with work("cpu"):
        file = await checked(http, file_id)
        cleaning = await cleaned(file_id)
    assert file["status"] == "error"
    assert "Line " in file["status_details"]
    assert "JSON Lines" in file["status_details"]
    assert (cleaning["status"], cleaning["error"]["code"]) == ("failed", "rows_too_large")
    storage = Path(urlsplit(api.settings.storage_url).path)
    assert sum(path.stat().st_size for path in storage.rglob("*") if path.is_file()) < 100_000


async def test_rated_answers_become_the_rows_that_the_shape_names(http, work, put, report):
    """The upload alone is enough: without a shape, each answer keeps its rating."""
    export = next(case for case in feedback.cases() if case.name == "Open WebUI, pairs")
    plain = await put(export.data, "feedback.json")
    pairs = await put(export.data, "feedback.json", format='{"shape": "preference"}')
    liked = await put(export.data, "feedback.json", format='{"shape": "chat"}')
    async with work("cpu"):
        files = [await checked(http, one) for one in (plain, pairs, liked)]
        found = (await report(files[0]["id"])).json()["validation"]
    assert [(one["status"], one["rows"], one["found"]["row_format"]) for one in files] == [
        ("processed", 4, "labeled"),
        ("processed", 1, "preference"),
        ("processed", 3, "chat"),
    ]
    [choice] = [issue for issue in found["issues"] if issue["code"] == "rated_answers"]
    assert "shape" in choice["fix"]
