"""Tests of jobs over HTTP up to the queue: creation, refusals, lists, events, cancel, pause."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from service.core import queue
from tests.conftest import BASE_MODEL, Api, chat_line, checked

JOBS = "/v1/fine_tuning/jobs"
WORDS = ["anchor", "beacon", "cable", "dinghy", "ensign", "fender"]
WORDS += ["galley", "hatch", "island", "jetty", "keel", "lantern"]
ALWAYS = {
    "id",
    "created_at",
    "error",
    "fine_tuned_model",
    "finished_at",
    "hyperparameters",
    "model",
    "object",
    "organization_id",
    "result_files",
    "seed",
    "status",
    "trained_tokens",
    "training_file",
    "validation_file",
    "estimated_finish",
    "integrations",
    "metadata",
    "method",
}


@pytest.fixture
async def file_id(http, chats) -> str:
    return await upload(http, chats(12))


async def upload(http, data: bytes, purpose: str = "fine-tune") -> str:
    answer = await http.post("/v1/files", files={"file": ("f", data)}, data={"purpose": purpose})
    return answer.json()["id"]


async def create(http, file_id: str, **fields) -> dict[str, Any]:
    answer = await http.post(JOBS, json={"model": BASE_MODEL, "training_file": file_id, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def until(http, job_id: str, *statuses: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            job = (await http.get(f"{JOBS}/{job_id}")).json()
            if job["status"] in statuses:
                return job
            await asyncio.sleep(0.05)


async def test_created_job_has_every_key_of_the_contract(http, file_id):
    job = await create(http, file_id, suffix="My Shop", seed=7, metadata={"team": "a"})
    assert set(job) >= ALWAYS
    assert job["object"] == "fine_tuning.job"
    assert job["status"] == "validating_files"
    assert job["seed"] == 7
    assert job["suffix"] == job["user_provided_suffix"] == "my-shop"
    assert job["metadata"] == {"team": "a"}
    assert job["hyperparameters"]["n_epochs"] == "auto"
    assert (await http.get(f"{JOBS}/{job['id']}")).json() == job


async def test_good_job_is_queued_for_a_gpu_worker_with_auto_resolved(
    api: Api, http, file_id, work
):
    async with work("cpu"):
        job = await until(http, (await create(http, file_id))["id"], "queued")
    assert job["hyperparameters"] == {
        "n_epochs": 8,
        "batch_size": 1,
        "learning_rate_multiplier": 1.0,
    }
    # The record is the queue; arq's gets an entry once a GPU worker is free.
    assert await api.app.state.redis.zrange(queue.GPU, 0, -1) == []


async def test_a_job_that_holds_out_no_rows_says_how_to_get_an_evaluation(http, chats, work):
    training = await upload(http, chats(12))
    held_out = await upload(http, b"\n".join(chats(23).splitlines()[12:]))
    share = {"type": "supervised", "supervised": {"hyperparameters": {"validation_share": 0.2}}}
    told = []
    async with work("cpu"):
        for fields in ({}, {"validation_file": held_out}, {"method": share}):
            job = await until(http, (await create(http, training, **fields))["id"], "queued")
            events = (await http.get(f"{JOBS}/{job['id']}/events")).json()["data"]
            told.append([e for e in events if "'validation_share'" in e["message"]])
    assert [len(events) for events in told] == [1, 0, 0]
    assert told[0][0]["level"] == "info"


async def test_three_examples_make_a_job_that_fails(http, chats, work):
    async with work("cpu"):
        created = await create(http, await upload(http, chats(3)))
        job = await until(http, created["id"], "failed")
    assert job["error"] == {
        "code": "invalid_n_examples",
        "message": "Training file has 3 example(s), but must have at least 10 examples",
        "param": "training_file",
    }
    assert job["finished_at"] is not None
    newest = (await http.get(f"{JOBS}/{job['id']}/events")).json()["data"][0]
    assert newest["level"] == "error"


async def test_broken_file_makes_a_job_that_fails_with_the_line(http, work, chats):
    broken = chats(12) + b'\n{"messages": "none"}'
    async with work("cpu"):
        created = await create(http, await upload(http, broken))
        job = await until(http, created["id"], "failed")
    assert job["error"]["code"] == "invalid_training_file"
    assert job["error"]["param"] == "training_file"
    assert "Line 13" in job["error"]["message"]


async def test_broken_validation_file_is_named(http, work, file_id):
    async with work("cpu"):
        created = await create(http, file_id, validation_file=await upload(http, b"nothing"))
        job = await until(http, created["id"], "failed")
    assert job["error"]["code"] == "invalid_validation_file"
    assert job["error"]["param"] == "validation_file"


async def test_a_validation_file_with_the_training_rows_is_refused(http, chats, work):
    """The same file, the same bytes, and, once they are checked, the same rows in other bytes."""
    bytes_ = chats(12)
    training, twin = await upload(http, bytes_), await upload(http, bytes_)
    spaced = await upload(http, bytes_.replace(b'": ', b'":  '))
    own = await upload(http, bytes_.replace(b"Answer", b"Reply"))
    async with work("cpu"):
        for file_id in (training, spaced, own):
            await checked(http, file_id)
    mixed = {"training_file": own, "mixed_files": [{"file": training}]}
    for other in ({"training_file": training}, mixed):
        for validation in (training, twin, spaced):
            body = {"model": BASE_MODEL, **other, "validation_file": validation}
            answer = await http.post(JOBS, json=body)
            assert answer.status_code == 400, (other, validation)
            error = answer.json()["error"]
            if validation == training and other is mixed:
                assert "must not be trained" in error["message"]
            else:
                assert error["param"] == "validation_file"
                assert "validation_share" in error["message"]


async def test_a_validation_file_that_overlaps_is_counted_or_fails_the_job(http, work):
    """Some rows are left out of the evaluation; if all would be, there is nothing to train for."""
    lines = [chat_line(f"What is a {word}?", f"A {word} is a thing of the sea.") for word in WORDS]
    training = await upload(http, "\n".join(lines[:10]).encode())
    some = [*lines[:1], lines[1].replace("What is", "WHAT IS "), *lines[10:]]
    overlapping = await upload(http, "\n".join(some).encode())
    inside = await upload(http, "\n".join(reversed(lines[:5])).encode())
    async with work("cpu"):
        created = await create(http, training, validation_file=overlapping)
        job = await until(http, created["id"], "queued", "failed")
        assert job["error"] is None
        events = (await http.get(f"{JOBS}/{job['id']}/events")).json()["data"]
        told = "2 of 4 rows of the validation file are in the training data (1 equal, 1 nearly"
        assert [one for one in events if one["message"].startswith(told)]
        created = await create(http, training, validation_file=inside)
        job = await until(http, created["id"], "failed")
    assert (job["error"]["code"], job["error"]["param"]) == (
        "invalid_validation_file",
        "validation_file",
    )
    assert job["error"]["message"].startswith("All 5 rows of the validation file")


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"training_file": "../../etc/passwd"}, 404, "training_file"),
        ({"validation_file": "file-unknown"}, 404, "validation_file"),
        ({"baseline_prompt": "Be kind."}, 400, "baseline_prompt"),  # without held-out rows
        ({"suffix": "!!!"}, 400, "suffix"),
        ({"hyperparameters": {"batch_size": 257}}, 400, None),
        ({"hyperparameters": {"lora": {"r": 65}}}, 400, None),
        ({"hyperparameters": {"max_seq_length": 4096}}, 400, None),
        ({"method": {"type": "dpo", "supervised": {}}}, 400, "method"),
        ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 3}}}}, 400, None),
        ({"hyperparameters": {"beta": 0.1}}, 400, "hyperparameters.beta"),
        ({"hyperparameters": {"lora": {"use_dora": True}}}, 400, "hyperparameters.lora.use_dora"),
        (
            {"hyperparameters": {"lora": {"target_modules": ["lm_head"]}}},
            400,
            "hyperparameters.lora",
        ),
        ({"hyperparameters": {"learning_rate": 1.5}}, 400, "hyperparameters.learning_rate"),
        ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"packing": True}}}}, 400, "method"),
        ({"hyperparameters": {"warm_start": "ft:none"}}, 404, None),
        ({"hyperparameters": {"warm_start": BASE_MODEL}}, 404, None),
        ({"hyperparameters": {"early_stopping": {"patience": 0}}}, 400, None),
        ({"hyperparameters": {"validation_share": 0.9}}, 400, None),
        ({"gate": {"chrf_gain": ">=5"}}, 400, "gate"),  # there are no held-out rows
        ({"gate": {"chrf_gian": ">=5"}}, 400, "gate"),
    ],
)
async def test_bad_requests_are_refused_and_name_the_place(http, file_id, fields, status, param):
    body = {"model": BASE_MODEL, "training_file": file_id, **fields}
    answer = await http.post(JOBS, json=body)
    error = answer.json()["error"]
    assert answer.status_code == status
    assert error["type"] == "invalid_request_error"
    if param is not None:
        assert error["param"] == param
    assert (await http.get(JOBS)).json()["data"] == []


@pytest.mark.parametrize(
    ("config", "param", "code", "words"),
    [
        (
            {"quantization_config": {"quant_method": "fp8"}},
            "model",
            "model_not_trainable",
            "stored in FP8",
        ),
        (
            {"model_type": "gpt_oss", "quantization_config": {"quant_method": "mxfp4"}},
            "method.supervised.hyperparameters.quantization",
            "invalid_value",
            'quantization to "none"',
        ),
    ],
)
async def test_a_base_model_whose_stored_weights_cannot_be_trained_is_refused(
    api, http, file_id, config, param, code, words
):
    folder = api.settings.data_dir / "base"
    (folder / "config.json").write_text(json.dumps(config))
    for path in (JOBS, "/v1/fine_tuning/estimate"):
        answer = await http.post(path, json={"model": BASE_MODEL, "training_file": file_id})
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["code"]) == (400, param, code)
        assert words in error["message"]


async def test_file_of_another_purpose_is_refused(http):
    other = await upload(http, b"notes", "user_data")
    answer = await http.post(JOBS, json={"model": BASE_MODEL, "training_file": other})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_file_purpose"


async def test_idempotency_key_makes_one_job(http, file_id):
    headers = {"idempotency-key": "abc"}
    body = {"model": BASE_MODEL, "training_file": file_id}
    first, again = await asyncio.gather(
        http.post(JOBS, json=body, headers=headers), http.post(JOBS, json=body, headers=headers)
    )
    assert first.json()["id"] == again.json()["id"]
    assert len((await http.get(JOBS)).json()["data"]) == 1
    other = await http.post(JOBS, json={**body, "seed": 1}, headers=headers)
    assert other.status_code == 409
    assert other.headers["x-should-retry"] == "false"


async def test_an_answer_that_an_older_version_stored_lacks_new_fields(api, http, file_id):
    headers = {"idempotency-key": "abc"}
    body = {"model": BASE_MODEL, "training_file": file_id}
    first = (await http.post(JOBS, json=body, headers=headers)).json()
    redis = api.app.state.redis
    (key,) = [key async for key in redis.scan_iter("*:idempotency:*")]
    stored = json.loads(await redis.get(key))
    del stored["answer"]["user_provided_suffix"]
    await redis.set(key, json.dumps(stored))
    again = await http.post(JOBS, json=body, headers=headers)
    assert again.status_code == 200, again.text
    assert again.json() == first


async def test_list_pages_and_filters_by_metadata(http, file_id):
    tagged = await create(http, file_id, metadata={"team": "a b"})
    plain = await create(http, file_id)
    everything = (await http.get(JOBS)).json()
    assert [j["id"] for j in everything["data"]] == [plain["id"], tagged["id"]]
    found = (await http.get(JOBS, params={"metadata[team]": "a b"})).json()["data"]
    assert [j["id"] for j in found] == [tagged["id"]]
    none = (await http.get(JOBS, params={"metadata": "null"})).json()["data"]
    from_node = (await http.get(f"{JOBS}?metadata=")).json()["data"]  # OpenAI's SDK for Node
    assert from_node == none
    assert [j["id"] for j in none] == [plain["id"]]
    first = (await http.get(JOBS, params={"limit": 1})).json()
    assert first["has_more"] is True
    rest = (await http.get(JOBS, params={"after": first["data"][-1]["id"]})).json()
    assert [j["id"] for j in rest["data"]] == [tagged["id"]]


async def test_deleting_a_file_names_the_unfinished_jobs_that_read_it(http, file_id):
    ended, waiting = await create(http, file_id), await create(http, file_id)
    await http.post(f"{JOBS}/{ended['id']}/cancel")
    gone = (await http.delete(f"/v1/files/{file_id}")).json()
    assert gone["unfinished_jobs"] == [waiting["id"]]


async def test_cancel_is_final(http, file_id):
    job = await create(http, file_id)
    cancelled = (await http.post(f"{JOBS}/{job['id']}/cancel")).json()
    assert cancelled["status"] == "cancelled"
    again = await http.post(f"{JOBS}/{job['id']}/cancel")
    assert again.status_code == 409
    assert again.headers["x-should-retry"] == "false"
    assert (await http.post(f"{JOBS}/{job['id']}/resume")).status_code == 409


async def test_pause_and_resume_of_a_queued_job(http, file_id, work):
    async with work("cpu"):
        job = await until(http, (await create(http, file_id))["id"], "queued")
    paused = (await http.post(f"{JOBS}/{job['id']}/pause")).json()
    assert paused["status"] == "paused"
    resumed = (await http.post(f"{JOBS}/{job['id']}/resume")).json()
    assert (resumed["status"], resumed["attempt"]) == ("queued", job["attempt"] + 1)


async def test_events_page_newest_first(http, file_id):
    job = await create(http, file_id)
    page = (await http.get(f"{JOBS}/{job['id']}/events", params={"limit": 1})).json()
    assert page["has_more"] is True
    assert page["data"][0]["message"].startswith("Validating training file")
    rest = await http.get(f"{JOBS}/{job['id']}/events", params={"after": page["data"][0]["id"]})
    assert [e["message"] for e in rest.json()["data"]] == [f"Created fine-tuning job: {job['id']}"]
    bad = await http.get(f"{JOBS}/{job['id']}/events", params={"after": "ftevent-x"})
    assert bad.status_code == 400


async def test_event_stream_is_live_ends_with_the_job_and_resumes(http, file_id):
    job = await create(http, file_id)
    url, seen = f"{JOBS}/{job['id']}/events", []

    async def listen(headers: dict[str, str]) -> list[dict[str, Any]]:
        events = []
        params = {"stream": "true"}
        async with http.stream("GET", url, params=params, headers=headers, timeout=20) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            async for line in stream.aiter_lines():
                if line.startswith("data: {"):
                    events.append(json.loads(line.removeprefix("data: ")))
                    seen.append(events[-1]["id"])
        assert line == "" or line == "data: [DONE]"
        return events

    listening = asyncio.create_task(listen({}))
    while len(seen) < 2:
        await asyncio.sleep(0.05)
    await http.post(f"{JOBS}/{job['id']}/cancel")
    events = await asyncio.wait_for(listening, 60)
    assert [e["message"] for e in events][-1] == "The job was cancelled"
    assert len(events) == 3
    rest = await listen({"last-event-id": events[0]["id"]})
    assert [e["id"] for e in rest] == [e["id"] for e in events[1:]]


async def test_checkpoints_of_a_new_job_are_an_empty_list(http, file_id):
    job = await create(http, file_id)
    page = (await http.get(f"{JOBS}/{job['id']}/checkpoints")).json()
    assert page == {
        "object": "list",
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }
