"""Tests of jobs that continue the pre-training on texts: checks, plan and training."""

from __future__ import annotations

import json

import pytest

from tests.conftest import BASE_MODEL, chat_line
from tests.jobs.test_jobs import JOBS, create, until, upload
from tests.jobs.test_methods import SETTINGS, ended

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_trainers")]


def texts(n: int) -> bytes:
    rows = [{"text": f"The ship {i} sails to port {i} {'and on ' * i}at noon."} for i in range(n)]
    return "\n".join(map(json.dumps, rows)).encode()


def method(**fields: object) -> dict[str, object]:
    return {"type": "pretraining", "pretraining": {"hyperparameters": {**SETTINGS, **fields}}}


async def test_texts_and_chats_are_trained_and_their_perplexity_is_told(tiny, http, work):
    own = await upload(http, texts(40))
    chats = await upload(http, chat_line("Where does ship 1 sail?", "To port 1.").encode())
    asked = method(max_seq_length=64, validation_share=0.2)
    fields = {"method": asked, "mixed_files": [{"file": chats, "weight": 4}], "seed": 1}
    async with work("cpu", "gpu"):
        job, events = await ended(http, (await create(http, own, **fields))["id"])
        body = {"model": BASE_MODEL, "training_file": own, **fields}
        made = (await http.post("/v1/fine_tuning/estimate", json=body)).json()
    assert job["status"] == "succeeded", job["error"]
    codes = {event["data"].get("code"): event["message"] for event in events}
    assert codes["perplexity"].startswith("Perplexity of the ")
    (started,) = [event["data"] for event in events if "total_steps" in event["data"]][:1]
    assert started["examples"] > 0.8 * 44  # long texts are cut, and nothing of them is lost
    assert 0.8 < made["steps"] / started["total_steps"] < 1.25
    assert 0.7 < made["trained_tokens"] / job["trained_tokens"] < 1.4
    assert not any("texts only" in reason for reason in made["reasons"])

    evaluation = await http.get(f"{JOBS}/{job['id']}/evaluation")
    assert evaluation.status_code == 404
    assert "no answers to compare" in evaluation.json()["error"]["message"]


async def test_texts_alone_are_trained_with_a_warning_in_the_plan(tiny, http, work):
    async with work("cpu"):
        created = await create(http, await upload(http, texts(12)), method={"type": "pretraining"})
        job = await until(http, created["id"], "queued")
    events = (await http.get(f"{JOBS}/{job['id']}/events")).json()["data"]
    told = " | ".join(event["message"] for event in events)
    assert "texts only: the model may chat worse than before" in told
    chosen = job["method"]["pretraining"]["hyperparameters"]
    assert chosen["n_epochs"] == 3
    assert "n_epochs auto → 3: 12 rows" in told


async def test_texts_are_for_this_method_alone(http, work, chats):
    own, other = await upload(http, texts(12)), await upload(http, chats(12))
    mixed = [{"file": own}]
    async with work("cpu"):
        jobs = [
            await create(http, own),
            await create(http, other, mixed_files=mixed),
            await create(http, other, method={"type": "pretraining"}),
        ]
        errors = [(await until(http, job["id"], "failed"))["error"] for job in jobs]
    assert "needs the chat format" in errors[0]["message"]
    assert errors[1]["param"] == "mixed_files.0.file"
    assert "needs the text format" in errors[2]["message"]

    gate = {"chrf_gain": ">=5"}
    body = {"model": BASE_MODEL, "training_file": own, "gate": gate}
    refused = await http.post(JOBS, json={**body, "method": method(validation_share=0.1)})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "gate")
