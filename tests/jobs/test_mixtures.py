"""Tests of jobs on several training files: the request, the checks, the training and its traces."""

from __future__ import annotations

import pytest

from tests.conftest import BASE_MODEL, Api, chat_line
from tests.jobs.test_jobs import JOBS, create, until, upload
from tests.jobs.test_methods import SETTINGS, adapter_file, ended, judged

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_trainers")]


def general(n: int) -> bytes:
    return "\n".join(chat_line(f"Name {i}!", f"Its name is {i}.") for i in range(n)).encode()


async def test_a_mixture_is_trained_evaluated_and_remembered(tiny, api: Api, http, work, chats):
    own, other = await upload(http, chats(20)), await upload(http, general(30))
    fields = {
        "mixed_files": [{"file": other, "weight": 0.3}],
        "hyperparameters": {**SETTINGS, "validation_share": 0.2},
        "seed": 7,
    }
    async with work("cpu", "gpu"):
        estimate = {"model": BASE_MODEL, "training_file": own, **fields}
        created = await create(http, own, **fields)
        assert created["mixed_files"] == fields["mixed_files"]
        job, events = await ended(http, created["id"])
        made = (await http.post("/v1/fine_tuning/estimate", json=estimate)).json()
    assert job["status"] == "succeeded", job["error"]
    messages = [event["message"] for event in events]
    assert f"Validating training files: {own}, {other}" in messages
    mixture = (
        f"mixture → 29 rows per epoch: 20 of {own} (20 rows, weight 1), "
        f"9 of {other} (30 rows, weight 0.3)"
    )
    assert mixture in messages
    assert mixture in made["reasons"]
    assert (made["rows"], made["steps"]) == (29, 2 * 6)
    (split,) = [event for event in events if event["data"].get("code") == "validation_split"]
    assert split["message"].startswith("6 of 50 rows")  # a fifth of 20 + 30 × 0.3
    (started,) = [event["data"] for event in events if "total_steps" in event["data"]][:1]
    assert 20 <= started["examples"] <= 25
    assert (await http.get(f"{JOBS}/{job['id']}")).json()["mixed_files"] == fields["mixed_files"]

    passport = await adapter_file(api, job["fine_tuned_model"], "passport.json")
    assert passport["data"]["training"]["file"] == own
    (mixed,) = passport["data"]["mixed"]
    assert (mixed["file"], mixed["rows"], mixed["weight"]) == (other, 30, 0.3)
    assert [part["file"] for part in passport["spec"]["mixture"]] == [own, other]


async def test_a_file_that_is_mixed_in_counts_as_used_until_the_end(http, chats):
    own, other = await upload(http, chats(12)), await upload(http, general(3))
    job = await create(http, own, mixed_files=[{"file": other}])
    assert job["mixed_files"] == [{"file": other, "weight": 1.0}]
    deleted = (await http.delete(f"/v1/files/{other}")).json()
    assert deleted["unfinished_jobs"] == [job["id"]]


async def test_each_file_is_checked_and_named(http, work, chats):
    own, labeled = await upload(http, chats(12)), await upload(http, judged(3))
    gone = await upload(http, general(2))
    asked = {
        labeled: ("invalid_training_file", f"The file {labeled} holds rows of the labeled format"),
        await upload(http, b"{broken"): ("invalid_training_file", "Line 1"),
        gone: ("file_not_found", f"The file {gone} was deleted"),
    }
    first = {"file": await upload(http, general(1))}
    jobs = {
        file: await create(http, own, mixed_files=[first, {"file": file, "weight": 2}])
        for file in asked
    }
    await http.delete(f"/v1/files/{gone}")
    async with work("cpu"):
        for file, (code, message) in asked.items():
            error = (await until(http, jobs[file]["id"], "failed"))["error"]
            assert (error["code"], error["param"]) == (code, "mixed_files.1.file")
            assert message in error["message"]


@pytest.mark.parametrize(
    ("mixed", "message"),
    [
        ([{"file": "own"}], "use its weight"),
        ([{"file": "a"}, {"file": "a", "weight": 2}], "use its weight"),
        ([{"file": "valid"}], "must not be trained"),
        ([{"file": "a", "weight": 0}], "a value >= 0.001"),
        ([{"file": "a", "weight": 101}], "a value <= 100"),
        ([{"file": "a", "weight": "2"}], "a number"),
        ([{"file": "a", "share": 0.5}], "share"),
        ([{"file": f"file-{n}"} for n in range(9)], "at most 8"),
    ],
)
async def test_what_cannot_be_mixed_is_refused(http, mixed, message):
    body = {"model": BASE_MODEL, "training_file": "own", "validation_file": "valid"}
    answer = await http.post(JOBS, json={**body, "mixed_files": mixed})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert message in error["message"]
