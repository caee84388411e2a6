"""Tests of cleanings over HTTP: new files, a diff of all changed rows, reproducible results."""

from __future__ import annotations

import json

import pytest

from service.core import ids
from service.core.records import Missing
from service.files.curation.records import Task, Tasks
from service.work.records import AttemptSuperseded
from tests.conftest import Api, chat_line, checked, upload
from tests.small_disk import small_disk

pytestmark = pytest.mark.slow

PATH = "/v1/dataset_cleanings"

ROWS = [
    chat_line(f"คำถามข้อ {i}: {'ร้านเปิดกี่โมง ' * (i % 5 + 1)}?", f"ตอบข้อ {i} เปิดเก้าโมงเช้าวันที่ {i * 7}")
    for i in range(40)
]
DATA = "\n".join(
    [
        *ROWS,
        ROWS[0],  # line 41
        "{broken",  # line 42
        chat_line("ติดต่ออย่างไร", "เขียนถึง somchai@example.com หรือ somchai@example.com"),  # 43
        chat_line("ราคาเท่าไร", "๑๐ บาท"),  # 44
        chat_line("ราคาเท่าไร", "๒๐ บาท"),  # 45
        chat_line("ราคาเท่าไร", "๒๐ บาท\u0007"),  # 46
    ]
).encode()
OPTIONS = {
    "near_duplicates": False,
    "contradictions": "most_common",
    "personal_data": "pseudonym",
    "validation_share": 0.2,
    "seed": 7,
}


@pytest.fixture
def content(http):
    async def content(file_id: str) -> bytes:
        return (await http.get(f"/v1/files/{file_id}/content")).content

    return content


async def test_a_cleaning_writes_new_files_and_a_diff_of_the_affected_rows(
    http, work, put, cleaned, content
):
    expiring = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    async with work("cpu"):
        file_id = await put(DATA, "ร้าน.jsonl", **expiring)
        made = await cleaned(file_id, **OPTIONS, drop_control_characters=True)
    assert made["status"] == "completed", made
    result = made["result"]
    assert result["dropped"] == {"broken": 1, "contradiction": 1, "exact_duplicate": 2}
    train = (await content(result["training_file_id"])).decode().splitlines()
    held = (await content(result["validation_file_id"])).decode().splitlines()
    assert (result["training_rows"], result["validation_rows"]) == (len(train), len(held))
    assert len(train) + len(held) == 42
    assert 6 <= len(held) <= 11
    whole = "\n".join(train + held)
    assert "somchai" not in whole
    assert whole.count("[EMAIL_1]") == 2
    assert "๑๐ บาท" not in whole
    diff = [json.loads(line) for line in (await content(result["diff_file_id"])).splitlines()]
    told = {(d["line"], d["action"], d["reason"]) for d in diff}
    assert {(42, "dropped", "broken"), (41, "dropped", "exact_duplicate")} <= told
    assert (44, "dropped", "contradiction") in told
    assert (43, "changed", "text") in told
    assert sum(d["action"] == "held_out" for d in diff) == len(held)
    # The upload is unchanged, and the new files are ready for training.
    assert await content(file_id) == DATA
    file = (await http.get(f"/v1/files/{result['training_file_id']}")).json()
    assert (file["status"], file["rows"], file["filename"]) == (
        "processed",
        len(train),
        "ร้าน.clean.jsonl",
    )
    source = (await http.get(f"/v1/files/{file_id}")).json()
    assert file["expires_at"] == source["expires_at"]


async def test_the_same_file_and_options_give_the_same_bytes(http, work, put, cleaned, content):
    async with work("cpu"):
        file_id = await put(DATA)
        one, two = [await cleaned(file_id, **OPTIONS) for _ in range(2)]
        other = await cleaned(file_id, **{**OPTIONS, "seed": 8})
    first, second = one["result"], two["result"]
    for name in ("training_file_id", "validation_file_id", "diff_file_id"):
        assert first[name] != second[name]
        assert await content(first[name]) == await content(second[name])
    held = other["result"]["validation_file_id"]
    assert await content(first["validation_file_id"]) != await content(held)
    listed = (await http.get(PATH, params={"file_id": file_id, "limit": 2})).json()
    assert [c["id"] for c in listed["data"]] == [other["id"], two["id"]]
    assert listed["has_more"] is True


async def test_a_cleaned_file_has_nothing_left_to_clean(http, work, put, cleaned):
    async with work("cpu"):
        first = await cleaned(await put(DATA), contradictions="last", personal_data="mask")
        file_id = first["result"]["training_file_id"]
        again = await cleaned(file_id, contradictions="last", personal_data="mask")
    result = again["result"]
    assert (result["dropped"], result["changed_rows"]) == ({}, 0)
    assert result["training_rows"] == first["result"]["training_rows"]


async def test_a_table_is_read_with_the_options_of_the_upload_or_the_request(
    http, work, put, cleaned, content
):
    data = "Kunde;Wir\n" + "\n".join(f"Frage {i};Antwort {i * 31}" for i in range(12))
    said = {"columns": {"prompt": "Kunde", "completion": "Wir"}}
    async with work("cpu"):
        uploaded = await cleaned(await put(data.encode("utf-16"), format=json.dumps(said)))
        called = await cleaned(await put(data.encode("utf-16")), format=said)
        neither = await cleaned(await put(data.encode("utf-16")))
    assert uploaded["status"] == called["status"] == "completed"
    made = [one["result"]["training_file_id"] for one in (uploaded, called)]
    assert await content(made[0]) == await content(made[1])
    assert neither["status"] == "failed"
    assert neither["error"]["code"] == "unknown_columns"
    assert "Kunde" in neither["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"validation_share": 0.9}, "validation_share"),
        ({"contradictions": "guess"}, "contradictions"),
        ({"near_threshold": 0.1}, "near_threshold"),
        ({"surprise": 1}, "surprise"),
        ({"format": {"shape": "poem"}}, "format.shape"),
    ],
)
async def test_invalid_options_are_refused(http, put, body, param):
    answer = await http.post(PATH, json={"file_id": await put(DATA), **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_the_same_idempotency_key_cleans_once(http, put):
    body, headers = {"file_id": await put(DATA)}, {"idempotency-key": "k"}
    one = await http.post(PATH, json=body, headers=headers)
    two = await http.post(PATH, json=body, headers=headers)
    assert one.json() == two.json()
    assert (await http.post(PATH, json={**body, "seed": 1}, headers=headers)).status_code == 409
    # The same fields of another kind of request.
    assert (await http.post("/v1/dataset_reports", json=body, headers=headers)).status_code == 409


async def test_a_job_trains_on_a_cleaned_file(http, work, put, cleaned, settings):
    """The job's own check accepts the file, and the job is queued for a GPU."""
    import asyncio

    from tests.conftest import BASE_MODEL

    async with work("cpu"):
        made = await cleaned(await put(DATA), validation_share=0.2)
        job = (
            await http.post(
                "/v1/fine_tuning/jobs",
                json={
                    "model": BASE_MODEL,
                    "training_file": made["result"]["training_file_id"],
                    "validation_file": made["result"]["validation_file_id"],
                },
            )
        ).json()
        async with asyncio.timeout(60):
            while job["status"] == "validating_files":
                await asyncio.sleep(0.05)
                job = (await http.get(f"/v1/fine_tuning/jobs/{job['id']}")).json()
    assert job["status"] == "queued", job["error"]


async def test_a_superseded_attempt_writes_nothing(api: Api, http, put):
    tasks: Tasks = api.app.state.curation
    file_id = await put(DATA)
    cleaning = (await http.post(PATH, json={"file_id": file_id})).json()
    project = (await tasks.redis.keys("finetuned:*:files"))[0].decode().split(":")[1]
    old = await tasks.collection(file_id).get(project, cleaning["id"])
    assert isinstance(old, Task)
    new = await tasks.restart(old)
    assert new.attempt == 2
    with pytest.raises(AttemptSuperseded):
        await tasks.finish(old, result={})
    await tasks.finish(new, result={})
    with pytest.raises(AttemptSuperseded):
        await tasks.finish(new, result={})
    await http.delete(f"/v1/files/{file_id}")
    with pytest.raises(Missing):
        await tasks.finish(new, result={})


async def test_a_full_disk_of_the_worker_fails_the_task(api: Api, http, work, put, cleaned):
    """A disk that is really full: scratch on a tmpfs with room only for the upload."""
    rows = [chat_line(f"Frage {i}", f"Antwort {i} " * 20) for i in range(4000)]
    data = "\n".join(rows).encode()
    file_id = await put(data, "user.jsonl")
    with small_disk(api.settings.scratch, str(len(data) + 65536)):
        async with work("cpu"):
            file = await checked(http, file_id)
            made = await cleaned(file_id)
    assert file["status"] == "error"
    assert "space" in file["status_details"].lower()
    assert made["status"] == "failed"
    assert made["error"]["code"] == "file_error"
    assert (await http.get("/v1/files")).json()["data"][0]["id"] == file_id
    assert ids.is_valid(made["id"], ids.CLEANING)


async def test_a_project_cannot_fill_the_queue_with_tasks(api: Api, http, put):
    api.settings.max_file_tasks_per_project = 2
    file_id = await put(DATA)
    body = {"file_id": file_id}
    answers = [await http.post(PATH, json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["error"]["code"] == "limit_reached"
    assert answers[2].headers["retry-after"] == "10"
    assert (await http.post("/v1/dataset_reports", json=body)).status_code == 429
    async with await api.client("other") as other:
        theirs = (await upload(other, DATA)).json()["id"]
        assert (await other.post(PATH, json={"file_id": theirs})).status_code == 200


async def test_decisions_on_rows_are_applied_and_the_file_names_its_source(
    http, work, put, cleaned, content
):
    decisions = b'{"line": 1, "action": "drop"}\n{"line": 41, "action": "keep"}\n'
    async with work("cpu"):
        file_id = await put(DATA)
        uploaded = await upload(http, decisions, name="decisions.jsonl", purpose="user_data")
        made = await cleaned(file_id, decisions_file_id=uploaded.json()["id"])
        wrong = await upload(http, b'{"line": 9999, "action": "drop"}', purpose="user_data")
        failed = await cleaned(file_id, decisions_file_id=wrong.json()["id"])
        unknown = {"file_id": file_id, "decisions_file_id": "file-x"}
        missing = await http.post(PATH, json=unknown)
    assert made["decisions_file_id"] == uploaded.json()["id"]
    assert made["result"]["dropped"] == {"broken": 1, "decision": 1}
    lines = (await content(made["result"]["training_file_id"])).decode().splitlines()
    assert json.loads(lines[-5]) == json.loads(ROWS[0])
    file = (await http.get(f"/v1/files/{made['result']['training_file_id']}")).json()
    assert (file["derived_from"], file["cleaning"]) == (file_id, made["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "no_row_at_line")
    error = missing.json()["error"]
    assert (missing.status_code, error["param"]) == (404, "decisions_file_id")


async def test_a_cleaning_that_fails_says_why(http, work, put, cleaned):
    async with work("cpu"):
        empty = await cleaned(await put(b"{broken\n{broken\n"))
        broken = await cleaned(await put(DATA), drop_broken=False)
    assert (empty["status"], empty["result"]) == ("failed", None)
    assert (broken["status"], broken["error"]["code"]) == ("failed", "broken_row")
    assert "Line 42" in broken["error"]["message"]
