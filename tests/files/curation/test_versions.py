"""Tests of comparisons and merges over HTTP: results, pages, lineage and refusals."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from service.projects.records import Role
from tests.conftest import Api, chat_line, checked

pytestmark = pytest.mark.slow

ASK, REPLY = "Write to anna@example.com?", "Yes, to anna@example.com."
BEFORE = [
    chat_line("何時に開きますか?", "毎日九時に開きます。"),
    chat_line("ร้านเปิดกี่โมง", "เปิดเก้าโมงเช้าทุกวัน"),
    chat_line("何時に開きますか?", "毎日九時に開きます。"),
    "{broken",
    chat_line(ASK, REPLY),
]
AFTER = [
    chat_line("ร้านเปิดกี่โมง", "เปิดสิบโมงเช้าทุกวัน"),
    chat_line("Jam berapa buka?", "Setiap hari pukul sembilan."),
    chat_line("何時に開きますか?", "毎日九時に開きます。"),
]
Ask = Callable[..., Awaitable[dict[str, Any]]]


def data(rows: list[str]) -> bytes:
    return "\n".join(rows).encode()


DIFFS, MERGES = "/v1/dataset_diffs", "/v1/dataset_merges"


@pytest.fixture
def diff(http: httpx.AsyncClient, operation: Ask) -> Ask:
    """Compare two files, and return the content of the diff, or `rows` of it."""

    async def diff(file_id: str, other: str, part: str = "content", **params: Any) -> Any:
        made = await operation(DIFFS, file_id=file_id, other_file_id=other)
        assert made["status"] == "completed", made["error"]
        answer = await http.get(f"{DIFFS}/{made['id']}/{part}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return diff


@pytest.fixture
def merged(operation: Ask) -> Ask:
    """Merge files and wait for the result."""

    async def merged(*files: str | dict[str, Any], **options: Any) -> dict[str, Any]:
        given = [{"file_id": file} if isinstance(file, str) else file for file in files]
        return await operation(MERGES, files=given, **options)

    return merged


def texts_beside(api: Api, file_id: str) -> list[str]:
    """The copies of rows that tasks on the file stored."""
    storage = Path(urlsplit(api.settings.storage_url).path)
    return sorted(path.name for path in storage.glob(f"*/files/{file_id}/tasks/*/*texts.jsonl"))


async def test_two_files_are_compared(api: Api, http, work, put, diff):
    before, after = await put(data(BEFORE)), await put(data(AFTER), "table.jsonl")
    body = {"file_id": before, "other_file_id": after}
    early = await http.post(DIFFS, json=body)  # the later file is not checked yet
    assert (early.status_code, early.json()["error"]["param"]) == (409, "other_file_id")
    async with work("cpu"):
        assert (await checked(http, before))["status"] == "error"
        await checked(http, after)
        found = await diff(before, after)
        page = await diff(before, after, "rows", limit=2)
        rest = await diff(before, after, "rows", after=page["last_id"])
        added = await diff(before, after, "rows", change="added")
        beyond = await diff(before, after, "rows", after=9)
        masked = await diff(before, after, "rows", personal_data="mask")
        third = await diff(before, after, "rows", personal_data="mask", after=2, limit=1)
        made = (await http.post(DIFFS, json=body)).json()
    counts = {name: found[name] for name in ("unchanged", "changed", "removed", "added")}
    assert counts == {"unchanged": 1, "changed": 1, "removed": 2, "added": 1} == made["result"]
    assert found["summary"].startswith(
        "4 rows became 3: 1 unchanged, 1 changed, 2 removed, 1 added; what shifted most: "
    )
    assert (found["before"]["broken_rows"], found["after"]["rows"]) == (1, 3)
    rows = page["data"] + rest["data"]
    assert [(r["id"], r["change"], r["line"], r["other_line"]) for r in rows] == [
        ("1", "changed", 2, 1),
        ("2", "removed", 3, None),
        ("3", "removed", 5, None),
        ("4", "added", None, 2),
    ]
    assert (page["has_more"], rest["has_more"], beyond["data"]) == (True, False, [])
    assert (rows[0]["row"], rows[0]["other_row"]) == (json.loads(BEFORE[1]), json.loads(AFTER[0]))
    assert (rows[1]["row"], rows[1]["other_row"]) == (json.loads(BEFORE[2]), None)
    assert added["data"] == rows[3:]
    asked, replied = (m["content"] for m in masked["data"][2]["row"]["messages"])
    assert (asked, replied) == ("Write to [EMAIL]?", "Yes, to [EMAIL].")
    assert third["data"] == masked["data"][2:3]
    assert [*masked["data"][:2], rows[2], *masked["data"][3:]] == rows  # the others have none
    async with await api.client(role=Role.PROJECT_ADMIN) as admin:
        url = "/v1/organization/audit_logs"
        logs = (await admin.get(url, params={"event_types[]": "file.rows.revealed"})).json()["data"]
    assert [entry["objects"][-2:] for entry in logs[-2:]] == [
        ["lines:5", "other_lines:2"],
        ["lines:2,3", "other_lines:1"],
    ]
    # Only the rows of the broken file are copied, and they are deleted with it.
    assert texts_beside(api, before) == ["texts.jsonl"]
    await http.delete(f"/v1/files/{after}")
    for part in ("rows", "content"):
        gone = await http.get(f"{DIFFS}/{made['id']}/{part}")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "file_not_found")


async def test_the_rows_that_a_cleaning_changed_are_found_by_their_lineage(
    api: Api, http, work, put, cleaned, diff
):
    async with work("cpu"):
        file_id = await put(data(BEFORE[:3] + BEFORE[4:]))
        await checked(http, file_id)
        made = await cleaned(file_id, personal_data="mask")
        later = made["result"]["training_file_id"]
        found = await diff(file_id, later)
        [changed] = (await diff(file_id, later, "rows", limit=1))["data"]
        for path in _stored(api, "diff.json"):
            path.unlink()
        [kept] = (await http.get(DIFFS, params={"other_file_id": later})).json()["data"]
        lost = await http.get(f"{DIFFS}/{kept['id']}/content")
        anew = await diff(file_id, later)
    counts = {name: found[name] for name in ("unchanged", "changed", "removed", "added")}
    assert counts == {"unchanged": 2, "changed": 1, "removed": 1, "added": 0}
    assert (changed["line"], changed["other_line"]) == (4, 3)
    assert changed["row"] == json.loads(BEFORE[4])
    assert changed["other_row"]["messages"][0]["content"] == "Write to [EMAIL]?"
    assert texts_beside(api, file_id) == []
    assert (lost.status_code, anew) == (404, found)


def _stored(api: Api, name: str) -> list[Path]:
    found = list(Path(urlsplit(api.settings.storage_url).path).rglob(name))
    assert found
    return found


async def test_files_are_merged_into_a_new_one(http, work, put, merged):
    expiring = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "7200"}
    async with work("cpu"):
        one = await put(data([BEFORE[1], *BEFORE[:1]]), **expiring)
        other = await put(data(["", *AFTER]))
        for file_id in (one, other):
            await checked(http, file_id)
        first = {"file_id": one, "max_rows": 5}
        made = await merged(first, other, filename="../both.jsonl", seed=3)
        broken = await put(b"{broken\n")
        failed = await merged(one, broken)
    assert (made["status"], made["error"], made["file_id"]) == ("completed", None, one)
    options = [made[name] for name in ("exact_duplicates", "balance", "seed")]
    assert options == [True, "none", 3]
    assert [file["max_rows"] for file in made["files"]] == [5, None]
    result = made["result"]
    assert (result["rows"], result["languages"]) == (4, {"th": 2, "id": 1, "ja": 1})
    assert [source["duplicates"] for source in result["sources"]] == [0, 1]
    assert result["conflicts"] == 1
    assert result["conflict_examples"] == [
        [{"file_id": one, "line": 1}, {"file_id": other, "line": 2}]
    ]
    file, of_diff, source = [
        (await http.get(f"/v1/files/{file_id}")).json()
        for file_id in (result["merged_file_id"], result["diff_file_id"], one)
    ]
    assert (file["filename"], file["purpose"], file["status"]) == (
        "both.jsonl",
        "fine-tune",
        "processed",
    )
    assert (of_diff["filename"], of_diff["purpose"]) == ("both.diff.jsonl", "user_data")
    for output in (file, of_diff):
        assert (output["merged_from"], output["merge"]) == ([one, other], made["id"])
        assert (output["derived_from"], output["expires_at"]) == (None, source["expires_at"])
    contents = [
        [json.loads(line) for line in answer.content.splitlines()]
        for name in ("merged_file_id", "diff_file_id")
        for answer in [await http.get(f"/v1/files/{result[name]}/content")]
    ]
    assert [(e["file"], e["line"], e["reason"]) for e in contents[1]] == [
        (other, 4, "exact_duplicate"),
        (other, 2, "conflict"),
    ]
    assert contents[0] == [json.loads(row) for row in (BEFORE[1], BEFORE[0], AFTER[0], AFTER[1])]
    assert (failed["status"], failed["error"]["code"]) == ("failed", "unreadable_source")
    assert broken in failed["error"]["message"]
    listed = (await http.get(MERGES, params={"file_id": one, "limit": 1})).json()
    assert [merge["id"] for merge in listed["data"]] == [failed["id"]]
    assert listed["has_more"] is True


async def test_a_file_of_good_answers_is_merged_with_one_of_bad_answers(http, work, put, merged):
    labeled = [
        json.dumps(json.loads(row) | {"label": label}) for row in AFTER for label in (True, False)
    ]
    async with work("cpu"):
        good, bad = [await put(data(rows)) for rows in (labeled[::2], labeled[1::2])]
        alone = [await checked(http, file_id) for file_id in (good, bad)]
        made = await merged(good, bad)
        one_label = await merged(good, await put(data(labeled[:1])))
    assert [file["status"] for file in alone] == ["error", "error"]
    assert "Every row has the label false" in alone[1]["status_details"]
    assert "or merge the file with one" in alone[1]["status_details"]
    assert (made["status"], made["result"]["rows"]) == ("completed", len(labeled))
    file = (await http.get(f"/v1/files/{made['result']['merged_file_id']}")).json()
    assert (file["status"], file["rows"]) == ("processed", len(labeled))
    assert (one_label["status"], one_label["error"]["code"]) == ("failed", "one_label")


async def test_unsuitable_files_are_refused(api: Api, http, work, put):
    note = await put(b"Opening hours", purpose="user_data")
    async with work("cpu"):
        broken, good = await put(b"{broken\n"), await put(data(AFTER))
        for file_id in (broken, good):
            await checked(http, file_id)
    for unfit, code in ((note, "invalid_file_purpose"), (broken, "invalid_training_file")):
        files = [{"file_id": good}, {"file_id": unfit}]
        compared = {"file_id": good, "other_file_id": unfit}
        answers = [
            (await http.post(MERGES, json={"files": files}), "files.1.file_id"),
            (await http.post(DIFFS, json=compared), "other_file_id"),
        ]
        for answer, param in answers:
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["param"]) == (400, code, param)
    compared = {"file_id": note, "other_file_id": good}
    assert (await http.post(DIFFS, json=compared)).status_code == 400


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"files": [{"file_id": "a"}]}, "files"),
        ({"files": [{"file_id": f"file-{n}"} for n in range(21)]}, "files"),
        ({"files": [{"file_id": "a", "max_rows": 0}, {"file_id": "b"}]}, "files.0.max_rows"),
        ({"files": [{"file_id": "a"}, {"file_id": "b", "weight": 0}]}, "files.1.weight"),
        ({"files": [{"file_id": "a"}, {"file_id": "b"}], "balance": "rows"}, "balance"),
        ({"files": [{"file_id": "a"}, {"file_id": "b"}], "filename": ""}, "filename"),
        ({"files": [{"file_id": "a"}, {"file_id": "a"}]}, None),
        (
            {
                "files": [{"file_id": "a", "weight": 2}, {"file_id": "b"}],
                "balance": "languages",
            },
            None,
        ),
    ],
)
async def test_invalid_options_are_refused(http, body, param):
    answer = await http.post(MERGES, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_the_same_idempotency_key_merges_once(http, put):
    files = [{"file_id": await put(data(rows))} for rows in (AFTER, AFTER[:2])]
    headers = {"idempotency-key": "k"}
    one, two = [await http.post(MERGES, json={"files": files}, headers=headers) for _ in range(2)]
    other = await http.post(MERGES, json={"files": files[::-1]}, headers=headers)
    assert (one.json(), other.status_code) == (two.json(), 409)
