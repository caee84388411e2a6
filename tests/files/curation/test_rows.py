"""Tests of the rows of a file over HTTP: pages, filters, pairs, scores, and broken rows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.core.storage import Storage
from service.datasets.checks.issues import make_issue
from service.datasets.report.row_index import ValidRow, write_index
from service.files.curation.records import Task, TaskKind
from service.files.curation.rows import MAX_PAGE_BYTES, RowQuery, RowReader
from service.files.records import FileRecord, FileStatus, Purpose
from service.projects.records import Role
from tests.conftest import Api, chat_line, checked

pytestmark = pytest.mark.slow

CHATS = [
    chat_line("Where is order 1?", "It left our warehouse this morning."),
    chat_line("注文はどこですか?", "倉庫を出ました。明日お届けします。"),
    chat_line("Where is order 1?", "It left our warehouse this morning."),
    chat_line("Could you tell me how to return a lamp?", "Send the lamp back within two weeks."),
    chat_line("How to return a lamp?", "Please send the lamp back within two weeks."),
    chat_line("What does shipping to Norway cost?", "It is free."),
    chat_line("What does shipping to Norway cost?", "It costs twelve euros for each parcel."),
]
BROKEN = "{broken"


def _lines(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [row["line"] for row in answer.json()["data"]]


def _codes(row: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in row["findings"]}


async def test_rows_have_text_language_findings_and_the_other_row(http, work, put, rows):
    async with work("cpu"):
        file_id = await put("\n".join(CHATS).encode())
        await checked(http, file_id)
        page = (await rows(file_id)).json()
        japanese = await rows(file_id, language="ja")
        copies = await rows(file_id, issue="exact_duplicate")
        both = await rows(file_id, issue="exact_duplicate", language="ja")
    assert [row["row"] for row in page["data"]] == [json.loads(line) for line in CHATS]
    assert (page["object"], page["has_more"]) == ("list", False)
    assert (page["first_id"], page["last_id"]) == ("1", "7")
    assert [row["language"] for row in page["data"][:2]] == ["en", "ja"]
    assert [_lines(japanese), _lines(copies), _lines(both)] == [[2], [3], []]
    [copy] = page["data"][2]["findings"]
    assert (copy["code"], copy["other_line"], copy["similarity"]) == ("exact_duplicate", 1, 1.0)
    assert (copy["severity"], bool(copy["fix"])) == ("warning", True)
    found = {f["code"]: f for row in page["data"] for f in row["findings"]}
    assert (found["contradiction"]["other_line"], found["contradiction"]["similarity"]) == (6, 1.0)
    assert found["near_duplicate"]["other_line"] == 4
    assert 0.8 <= found["near_duplicate"]["similarity"] <= 1


async def test_pages_follow_each_other(http, work, put, rows):
    async with work("cpu"):
        file_id = await put("\n".join(CHATS).encode())
        first = await rows(file_id, limit=3)
        second = await rows(file_id, limit=3, after=first.json()["last_id"])
        last = await rows(file_id, limit=3, after=second.json()["last_id"])
        beyond = await rows(file_id, after="7")
    assert [_lines(first), _lines(second), _lines(last), _lines(beyond)] == [
        [1, 2, 3],
        [4, 5, 6],
        [7],
        [],
    ]
    assert [page.json()["has_more"] for page in (first, second, last)] == [True, True, False]
    assert beyond.json()["last_id"] is None


async def test_a_broken_row_is_listed_with_its_findings(http, work, put, rows):
    async with work("cpu"):
        file_id = await put("\n".join([*CHATS[:2], BROKEN, *CHATS[2:], BROKEN]).encode())
        assert (await checked(http, file_id))["status"] == "error"
        page = (await rows(file_id)).json()
        broken = await rows(file_id, issue="invalid_json")
    assert _lines(broken) == [3, 9]
    row = page["data"][2]
    assert (row["row"], row["language"], _codes(row)) == (None, None, {"invalid_json"})
    assert (row["score"], row["findings"][0]["weight"]) == (0, 1)
    assert page["data"][3]["row"] == json.loads(CHATS[2])


async def test_scores_follow_from_the_findings_and_sort_the_rows(http, work, put, rows, report):
    refused = chat_line("Which one?", "As an AI language model, I cannot help with that, and")
    async with work("cpu"):
        file_id = await put("\n".join([*CHATS, "", refused, BROKEN]).encode())
        page = (await rows(file_id)).json()["data"]
        worst = await rows(file_id, sort="score")
        pages = [await rows(file_id, sort="score", limit=3)]
        while (last := pages[-1].json())["has_more"]:
            pages.append(await rows(file_id, sort="score", limit=3, after=last["last_id"]))
        copies = await rows(file_id, sort="score", issue="exact_duplicate")
        low = await rows(file_id, max_score=0.6)
        lower = await rows(file_id, max_score=0.59, sort="score", limit=1)
        all_scored = await rows(file_id, max_score=1, sort="score")
        gone = await rows(file_id, sort="score", after="99")
        scores = (await report(file_id)).json()["scores"]
    for row in page:
        weights = {finding["code"]: finding["weight"] for finding in row["findings"]}
        assert row["score"] in (None, round(max(1 - sum(weights.values()), 0), 1))
    found = {row["line"]: row["score"] for row in page}
    assert found == {1: 1, 2: 1, 3: 0.6, 4: 1, 5: 0.8, 6: 1, 7: 0.6, 8: None, 9: 0.1, 10: 0}
    assert _lines(worst) == [10, 9, 3, 7, 5, 1, 2, 4, 6, 8]
    assert [line for page in pages for line in _lines(page)] == _lines(worst)
    assert _lines(copies) == [3]
    assert (_lines(low), _lines(lower), lower.json()["has_more"]) == ([3, 7, 9, 10], [10], True)
    assert _lines(all_scored) == _lines(worst)[:-1], "a blank line has no score"
    assert (gone.status_code, gone.json()["error"]["param"]) == (400, "after")
    assert scores["histogram"]["counts"] == [1, 1, 0, 0, 0, 0, 2, 0, 1, 0, 4]
    assert scores["mean"] == round((0.1 + 0.6 + 0.6 + 0.8 + 4) / 9, 4)
    assert scores["weights"]["exact_duplicate"] == 0.4


async def test_personal_data_is_masked_until_it_is_revealed(api: Api, http, work, put, rows):
    text = "Mail ann.lee@example.com, or call."
    marked = chat_line("Whom can I ask about order 1? 😀", text)
    async with work("cpu"):
        file_id = await put("\n".join([marked, *CHATS[1:], BROKEN]).encode())
        masked = (await rows(file_id)).json()["data"]
        shown = (await rows(file_id, personal_data="show")).json()["data"]
        wrong = await rows(file_id, personal_data="hide")
    first, *others = masked
    assert first["row"]["messages"][1]["content"] == "Mail [EMAIL], or call."
    mark = {"pointer": "/messages/1/content", "start": 5, "end": 12, "kind": "email"}
    assert first["personal_data"] == [mark]
    assert [row["row"] for row in others[:-1]] == [json.loads(line) for line in CHATS[1:]]
    assert (others[-1]["row"], others[-1]["personal_data"]) == (None, [])
    assert shown[0]["row"] == json.loads(marked)
    assert shown[0]["personal_data"] == [mark | {"end": 24}]
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "personal_data")
    async with await api.client(role=Role.PROJECT_ADMIN) as admin:
        logs = await admin.get(
            "/v1/organization/audit_logs", params={"event_types[]": "file.rows.revealed"}
        )
    [entry] = logs.json()["data"]
    assert entry["objects"][-1] == "lines:1,2,3,4,5,6,7"
    assert "ann.lee" not in logs.text


async def test_rows_of_a_report_without_marks_cannot_be_masked(api: Api, http, work, put, rows):
    async with work("cpu"):
        file_id = await put("\n".join(CHATS).encode())
        await rows(file_id)
        for directory in (api.settings.data_dir / "storage").rglob("rows.json"):
            old = json.loads(directory.read_text("utf-8"))
            del old["has_marks"]
            directory.write_text(json.dumps(old), "utf-8")
        gone = await rows(file_id)
    assert gone.status_code == 409
    assert "from an earlier version" in gone.json()["error"]["message"]


async def test_requests_that_cannot_be_answered(http, work, put, rows):
    async with work("cpu"):
        file_id = await put(CHATS[0].encode())
        unknown = await rows(file_id, issue="no_such_code")
        position = await rows(file_id, after="row")
        many = await rows(file_id, limit=101)
        high = await rows(file_id, max_score=1.5)
        gone = await http.get("/v1/dataset_reports/filereport-gone/rows")
    for answer, param in (
        (unknown, "issue"),
        (position, "after"),
        (many, "limit"),
        (high, "max_score"),
    ):
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, param)
        assert error["type"] == "invalid_request_error"
    assert gone.status_code == 404


class _Counted(Storage):
    """Storage that counts the bytes that are read."""

    read = 0

    async def stream(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncIterator[bytes]:
        self.read += (end or 0) - start
        return await super().stream(key, start, end)


def _reader(folder: Path, lengths: list[int], flagged: set[int]) -> tuple[RowReader, _Counted]:
    """A reader of made-up rows. Flagged lines have a finding; every 1,000th row is Japanese."""
    storage = _Counted.from_url(f"file://{folder}")
    assert isinstance(storage, _Counted)
    task = Task(
        id="report-1",
        project_id="acme",
        created_at=0,
        file_id="file-1",
        kind=TaskKind.REPORT,
        options={},
    )
    file = FileRecord(
        id="file-1",
        project_id="acme",
        created_at=0,
        filename="x",
        purpose=Purpose.FINE_TUNE,
        bytes=sum(lengths),
        sha256="",
        canonical="",
        status=FileStatus.PROCESSED,
    )
    (folder / task.folder).mkdir(parents=True)
    languages = ["ja" if line % 1000 == 0 else "en" for line in range(1, len(lengths) + 1)]
    named = zip(lengths, languages, strict=True)
    rows = [ValidRow(line, length, name) for line, (length, name) in enumerate(named, 1)]
    issues = [make_issue("mojibake", line) for line in sorted(flagged)]
    issues += [make_issue("very_long_row", line, chars=1) for line in sorted(flagged) if line % 2]
    write_index(folder / task.folder, rows, len(rows), issues, has_texts=False)
    with (folder / file.content_key).open("wb") as out:
        for row in rows:
            out.write(b'{"n":%d}' % row.line)
            out.write(b" " * (row.bytes - len(b'{"n":%d}' % row.line) - 1) + b"\n")
    return RowReader(storage, file, task), storage


async def test_a_page_of_a_large_file_reads_little_of_it(tmp_path):
    flagged = set(range(7, 100_000, 97))
    reader, storage = _reader(tmp_path, [100] * 100_000, flagged)
    seen: list[int] = []
    while True:
        wanted = RowQuery(seen[-1] if seen else 0, 100, "mojibake", None)
        page = json.loads((await reader.page(wanted)).body)
        seen += [row["line"] for row in page["data"]]
        assert [row["row"]["n"] for row in page["data"]] == seen[-len(page["data"]) :]
        if not page["has_more"]:
            break
    assert seen == sorted(flagged)
    storage.read = 0
    page = json.loads((await reader.page(RowQuery(90_000, 100, None, "ja"))).body)
    assert [row["line"] for row in page["data"]] == list(range(91_000, 100_001, 1000))
    assert storage.read < 400_000
    storage.read = 0
    page = json.loads((await reader.page(RowQuery(0, 10, None, None, "score"))).body)
    odd, even = (sorted(line for line in flagged if line % 2 == rest) for rest in (1, 0))
    assert [row["line"] for row in page["data"]] == odd[:10]
    assert storage.read < 400_000
    storage.read = 0
    page = json.loads((await reader.page(RowQuery(even[-4], 7, None, None, "score"))).body)
    assert [row["line"] for row in page["data"]] == [*even[-3:], 1, 2, 3, 4]
    assert storage.read < 400_000
    storage.read = 0
    page = json.loads((await reader.page(RowQuery(0, 5, max_score=0.35))).body)
    assert [row["line"] for row in page["data"]] == odd[:5]
    assert storage.read < 400_000
    storage.read = 0
    assert json.loads((await reader.page(RowQuery(0, 5, max_score=0.2))).body)["data"] == []
    assert storage.read < 400_000
    both = {line for line in flagged if line % 1000 == 0}
    page = json.loads((await reader.page(RowQuery(0, 100, "mojibake", "ja"))).body)
    assert {row["line"] for row in page["data"]} == both


async def test_a_page_ends_before_it_is_too_large(tmp_path):
    reader, _ = _reader(tmp_path, [MAX_PAGE_BYTES + 1, 2 * MAX_PAGE_BYTES // 3, 100], set())
    pages = [
        json.loads((await reader.page(RowQuery(after, 10, None, None))).body) for after in range(3)
    ]
    assert [[row["line"] for row in page["data"]] for page in pages] == [[1], [2, 3], [3]]
    assert [page["has_more"] for page in pages] == [True, False, False]
