"""Tests of reviews over HTTP: labels of rows by several people, which a cleaning applies."""

from __future__ import annotations

import json

import pytest

from service.datasets.contract.tasks import RowMatch
from service.erasure.search.text_scan import TextScan
from service.files.curation.reviews.records import Reviews
from service.projects.records import Role
from tests.conftest import Api, chat_line, checked, upload

ROWS = [chat_line(f"Question {i}?", f"Answer number {i}.") for i in range(1, 31)]
DATA = "\n".join(ROWS).encode()
EDITED = json.loads(chat_line("Question 3?", "Ask Ann Lee about number 3."))
NOTE = "Ann Lee says that the price changed."


async def _file(http) -> str:
    return (await upload(http, DATA)).json()["id"]


async def test_several_people_review_a_file(api: Api, http):
    file_id = await _file(http)
    path = f"/v1/files/{file_id}/reviews"
    first = await http.put(f"{path}/10", json={"label": "approved"})
    await http.put(f"{path}/9", json={"label": "rejected", "note": NOTE})
    await http.put(f"{path}/3", json={"label": "edited", "row": EDITED})
    async with await api.client(role=Role.TRAINER) as colleague:
        second = await colleague.put(f"{path}/10", json={"label": "unsure", "note": NOTE})
    assert (first.status_code, second.status_code) == (200, 200), second.text
    assert first.json()["reviewer"] != second.json()["reviewer"], "the last review counts"
    listed = (await http.get(path)).json()
    assert [one["line"] for one in listed["data"]] == [3, 9, 10]
    assert [one["label"] for one in listed["data"]] == ["edited", "rejected", "unsure"]
    assert [one["row"] for one in listed["data"]] == [EDITED, None, None]
    assert [one["note"] for one in listed["data"]] == [None, NOTE, NOTE]
    assert listed["data"][2] == second.json() == (await http.get(f"{path}/10")).json()
    assert listed["counts"] == {"approved": 0, "rejected": 1, "edited": 1, "unsure": 1}
    page = (await http.get(path, params={"limit": 1, "after": "3"})).json()
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (["9"], True)
    rejected = (await http.get(path, params={"label": "rejected"})).json()
    assert [one["line"] for one in rejected["data"]] == [9]
    gone = await http.delete(f"{path}/9")
    assert gone.json() == {"id": "9", "object": "file.review.deleted", "deleted": True}
    assert (await http.delete(f"{path}/9")).status_code == 404
    assert (await http.get(f"{path}/9")).status_code == 404
    assert (await http.get(path)).json()["counts"]["rejected"] == 0


@pytest.mark.slow
async def test_reviews_that_cannot_be_written(http, work):
    async with work("cpu"):
        file_id = await _file(http)
        await checked(http, file_id)
    other = (await upload(http, b"{}", purpose="user_data")).json()["id"]
    wrong = {"messages": [{"role": "user", "content": "No one answers."}]}
    for path, body, param in (
        (f"{file_id}/reviews/0", {"label": "approved"}, "line"),
        (f"{file_id}/reviews/1", {"label": "great"}, "label"),
        (f"{file_id}/reviews/1", {"label": "edited"}, None),
        (f"{file_id}/reviews/1", {"label": "approved", "row": EDITED}, None),
        (f"{file_id}/reviews/1", {"label": "edited", "row": wrong}, "row"),
        (f"{file_id}/reviews/1", {"label": "approved", "note": "x" * 2001}, "note"),
        (f"{other}/reviews/1", {"label": "approved"}, "file_id"),
    ):
        answer = await http.put(f"/v1/files/{path}", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    missing = await http.put("/v1/files/file-x/reviews/1", json={"label": "approved"})
    assert missing.status_code == 404


async def test_rows_that_could_not_be_shown_are_refused_before_the_file_is_checked(http):
    path = f"/v1/files/{await _file(http)}/reviews"
    deep = b'{"a":' * 300 + b"1" + b"}" * 300
    for row in (deep, b'{"a":"\\ud800"}'):
        body = b'{"label":"edited","row":%b}' % row
        answer = await http.put(
            f"{path}/1", content=body, headers={"content-type": "application/json"}
        )
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "row"), answer.text
    assert (await http.get(path)).json()["data"] == []


@pytest.mark.slow
async def test_a_cleaning_applies_the_reviews_of_its_time(http, work, put, cleaned):
    async with work("cpu"):
        file_id = await put("\n".join([*ROWS, ROWS[0]]).encode())
        path = f"/v1/files/{file_id}/reviews"
        await http.put(f"{path}/2", json={"label": "rejected", "note": "Too short."})
        await http.put(f"{path}/3", json={"label": "edited", "row": EDITED})
        await http.put(f"{path}/4", json={"label": "unsure"})
        await http.put(f"{path}/31", json={"label": "approved"})
        made = await cleaned(file_id, use_reviews=True)
        plain = await cleaned(file_id)
        both = await http.post(
            "/v1/dataset_cleanings",
            json={"file_id": file_id, "use_reviews": True, "decisions_file_id": "file-x"},
        )
    assert (made["status"], made["use_reviews"]) == ("completed", True)
    result = made["result"]
    assert result["dropped"] == {"decision": 1}
    made_rows = (await http.get(f"/v1/files/{result['training_file_id']}/content")).text
    rows = [json.loads(line) for line in made_rows.splitlines()]
    assert rows == [json.loads(r) for r in [ROWS[0], json.dumps(EDITED), *ROWS[3:], ROWS[0]]]
    assert plain["result"]["dropped"] == {"exact_duplicate": 1}
    assert both.status_code == 400


async def test_a_cleaning_without_room_leaves_no_decisions(api: Api, http):
    api.settings.max_file_tasks_per_project = 1
    file_id = await _file(http)
    body = {"file_id": file_id}
    await http.put(f"/v1/files/{file_id}/reviews/2", json={"label": "rejected"})
    assert (await http.post("/v1/dataset_cleanings", json=body)).status_code == 200
    refused = await http.post("/v1/dataset_cleanings", json={**body, "use_reviews": True})
    assert refused.status_code == 429
    project = await api.app.state.projects.by_name("acme")
    assert await api.app.state.storage.keys(f"{project.id}/files/{file_id}/tasks/") == []


async def test_text_of_reviews_is_only_in_storage_and_is_deleted_with_the_file(api: Api, http):
    file_id = await _file(http)
    path = f"/v1/files/{file_id}/reviews"
    await http.put(f"{path}/1", json={"label": "rejected", "note": NOTE})
    await http.put(f"{path}/1", json={"label": "approved", "note": NOTE + NOTE})
    await http.put(f"{path}/3", json={"label": "edited", "row": EDITED})
    await http.put(f"{path}/3", json={"label": "approved"})
    redis, storage = api.app.state.redis, api.app.state.storage
    project = await api.app.state.projects.by_name("acme")
    texts = await storage.keys(f"{project.id}/files/{file_id}/reviews/")
    assert len(texts) == 1, "replaced texts are removed"
    match = RowMatch(kind="substring", value="Ann Lee")
    [place] = await TextScan(redis, storage).find(project.id, match)
    assert (place.object, place.id, place.is_in_storage) == ("file", file_id, True)
    assert not place.is_in_records
    assert (await http.delete(f"/v1/files/{file_id}")).status_code == 200
    assert await storage.keys(f"{project.id}/files/{file_id}/") == []
    assert await redis.keys(f"finetuned:{project.id}:files:{file_id}*") == []
    file = Reviews(redis, storage).of(file_id)
    assert (await file.page(project.id)).items == []
