"""Tests of methods and their options from the job's body to the adapter, with real trainings."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from service.core import clock
from service.models.records import ModelRecord
from tests.conftest import BASE_MODEL, Api
from tests.jobs.test_jobs import JOBS, create, until, upload

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_trainers")]

SETTINGS = {"n_epochs": 2, "batch_size": 4, "quantization": "none", "lora": {"r": 8}}


def pairs(n: int) -> bytes:
    rows = [
        {
            "input": {"messages": [{"role": "user", "content": f"What is {i}?"}]},
            "preferred_output": [{"role": "assistant", "content": f"Aye, {i}."}],
            "non_preferred_output": [{"role": "assistant", "content": f"No idea of {i}."}],
        }
        for i in range(n)
    ]
    return "\n".join(map(json.dumps, rows)).encode()


def judged(n: int) -> bytes:
    """Return answers of which every third is labeled bad."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What is {i}?"},
                {"role": "assistant", "content": f"Aye, {i}." if i % 3 else f"No idea of {i}."},
            ],
            "label": bool(i % 3),
        }
        for i in range(n)
    ]
    return "\n".join(map(json.dumps, rows)).encode()


async def ended(http, job_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Wait until the job has ended. Returns it and its events, oldest first."""
    async with asyncio.timeout(150):
        while True:
            job = (await http.get(f"{JOBS}/{job_id}")).json()
            if job["status"] in ("succeeded", "failed", "cancelled"):
                break
            await asyncio.sleep(0.3)
    return job, await all_events(http, job_id)


async def all_events(http, job_id: str) -> list[dict[str, Any]]:
    """Return all events, oldest first."""
    events: list[dict[str, Any]] = []
    while True:
        after = {"after": events[-1]["id"]} if events else {}
        path = f"{JOBS}/{job_id}/events"
        page = (await http.get(path, params={"limit": 100, **after})).json()
        events += page["data"]
        if not page["has_more"]:
            return events[::-1]


async def adapter_file(api: Api, model: str, name: str) -> dict[str, Any]:
    """Read a JSON file stored with an adapter."""
    found = await api.app.state.registry.resolve_adapter(model)
    return json.loads(await api.app.state.storage.get_bytes(f"{found.artifact}/{name}"))


@pytest.mark.parametrize(
    ("method", "data", "code"),
    [
        ({"type": "supervised"}, pairs(12), "preference format"),
        ({"type": "supervised"}, judged(12), "labeled format"),
        ({"type": "dpo"}, None, "chat format"),
        ({"type": "dpo"}, judged(12), "labeled format"),
        ({"type": "kto"}, None, "chat format"),
        ({"type": "kto"}, pairs(12), "preference format"),
    ],
)
async def test_file_of_the_other_format_fails_the_job(http, work, chats, method, data, code):
    file_id = await upload(http, data or chats(12))
    async with work("cpu"):
        job = await until(http, (await create(http, file_id, method=method))["id"], "failed")
    assert job["error"]["code"] == "invalid_training_file"
    assert code in job["error"]["message"]


async def test_choices_are_told_with_their_reasons(tiny, http, work, chats):
    file_id = await upload(http, chats(45))
    async with work("cpu"):
        job = await until(http, (await create(http, file_id))["id"], "queued")
    events = (await http.get(f"{JOBS}/{job['id']}/events")).json()["data"]
    told = " | ".join(event["message"] for event in events)
    assert "batch_size auto → 2: 45 rows, 95% of them" in told
    assert "max_seq_length auto → 128: the longest row has about" in told
    assert job["method"]["supervised"]["hyperparameters"]["max_seq_length"] == 128


async def test_foreign_or_other_base_models_are_no_warm_start(tiny, api: Api, http, chats):
    file_id = await upload(http, chats(12))
    project = (await create(http, file_id))["organization_id"]
    names = {"other": "proj_other", "elsewhere": project}
    for tag, owner in names.items():
        await api.app.state.registry.register(
            ModelRecord(
                id=f"ft:{BASE_MODEL}:acme:{tag}:abc123def456",
                project_id=owner,
                created_at=clock.now_s(),
                base_model=BASE_MODEL if owner != project else "another-base",
                job_id="ftjob-x",
                artifact="x",
                digest="0" * 64,
                step=1,
            )
        )
    answers = {
        tag: await http.post(
            JOBS,
            json={
                "model": BASE_MODEL,
                "training_file": file_id,
                "hyperparameters": {"warm_start": f"ft:{BASE_MODEL}:acme:{tag}:abc123def456"},
            },
        )
        for tag in names
    }
    assert answers["other"].status_code == 404
    assert answers["other"].json()["error"]["code"] == "model_not_found"
    assert answers["elsewhere"].status_code == 400
    assert "another-base" in answers["elsewhere"].json()["error"]["message"]


async def test_best_checkpoint_then_dpo_from_it(tiny, api: Api, http, work, chats):
    """Supervised training with a validation split and keep_best, then DPO from the result."""
    chat_file, pair_file = await upload(http, chats(40)), await upload(http, pairs(16))
    async with work("cpu", "gpu"):
        asked = {**SETTINGS, "keep_best": True, "early_stopping": {"patience": 9}}
        method = {"type": "supervised", "supervised": {"hyperparameters": asked}}
        first, events = await ended(http, (await create(http, chat_file, method=method))["id"])
        assert first["status"] == "succeeded", first["error"]
        options = {"warm_start": first["fine_tuned_model"], "n_epochs": 2, "quantization": "none"}
        method = {"type": "dpo", "dpo": {"hyperparameters": {**options, "beta": 0.2}}}
        second, later = await ended(http, (await create(http, pair_file, method=method))["id"])
    assert second["status"] == "succeeded", second["error"]
    codes = {event["data"].get("code") for event in events}
    assert {"validation_split", "test_split", "packing", "best_kept"} <= codes
    chosen = first["method"]["supervised"]["hyperparameters"]
    assert isinstance(chosen["packing"], bool)
    assert chosen["validation_share"] == 0.2

    steps = [event["data"] for event in later if event["type"] == "metrics"]
    assert {"train_reward_accuracy", "train_reward_margin"} <= steps[0].keys()
    assert second["method"]["dpo"]["hyperparameters"]["beta"] == 0.2
    config = await adapter_file(api, second["fine_tuned_model"], "adapter_config.json")
    assert config["r"] == 8  # the warm start's

    passport = await adapter_file(api, first["fine_tuned_model"], "passport.json")
    record = (await http.get(f"/v1/files/{chat_file}")).json()
    assert passport["data"]["training"]["file"] == record["id"]
    assert passport["base_model"]["id"] == BASE_MODEL
    assert passport["spec"]["keep_best"] is True
    assert passport["libraries"].keys() >= {"torch", "trl", "peft", "finetuned"}
    assert len(passport["spec_sha256"]) == len(passport["base_model"]["sha256"]) == 64
    assert str(api.settings.data_dir) not in json.dumps(passport)
    checkpoints = (await http.get(f"{JOBS}/{first['id']}/checkpoints")).json()["data"]
    at = await adapter_file(api, checkpoints[0]["fine_tuned_model_checkpoint"], "passport.json")
    assert at["run"]["step"] == checkpoints[0]["step_number"]


async def test_kto_learns_from_labels(tiny, api: Api, http, work):
    """A complete job on labeled answers, in which the trainer computes the weights."""
    file_id = await upload(http, judged(15))
    options = {"n_epochs": 2, "quantization": "none", "lora": {"r": 8}, "validation_share": 0.2}
    method = {"type": "kto", "kto": {"hyperparameters": {**options, "undesirable_weight": 2}}}
    async with work("cpu", "gpu"):
        job, events = await ended(http, (await create(http, file_id, method=method))["id"])
    assert job["status"] == "succeeded", job["error"]
    chosen = job["method"]["kto"]["hyperparameters"]
    assert (chosen["batch_size"], chosen["beta"], chosen["undesirable_weight"]) == (2, 0.1, 2)
    assert chosen["learning_rate"] == pytest.approx(1e-4)
    assert isinstance(chosen["desirable_weight"], float)
    assert "label_weights" in {event["data"].get("code") for event in events}
    steps = [event["data"] for event in events if event["type"] == "metrics"]
    assert "train_reward_accuracy" in steps[0]
    assert "full_valid_loss" in steps[-1]
    passport = await adapter_file(api, job["fine_tuned_model"], "passport.json")
    assert passport["spec"]["method"] == "kto"
    checkpoints = (await http.get(f"{JOBS}/{job['id']}/checkpoints")).json()["data"]
    assert "valid_reward_accuracy" in checkpoints[0]["metrics"]


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 1},
        {"beta": 0},
        {"desirable_weight": 0},
        {"undesirable_weight": 101},
        {"label": True},
    ],
)
async def test_kto_refuses_what_it_cannot_do(tiny, http, options):
    file_id = await upload(http, judged(12))
    method = {"type": "kto", "kto": {"hyperparameters": options}}
    body = {"model": BASE_MODEL, "training_file": file_id, "method": method}
    answer = await http.post(JOBS, json=body)
    assert answer.status_code == 400
    assert next(iter(options)) in json.dumps(answer.json()["error"])


async def test_adapter_that_the_engine_cannot_load_fails_before_the_first_step(
    tiny, api: Api, http, work, chats
):
    """The engine was reconfigured for lower ranks while the job waited."""
    file_id = await upload(http, chats(12))
    job = await create(http, file_id, hyperparameters=SETTINGS)
    api.settings.max_lora_rank = 4
    async with work("cpu", "gpu"):
        job, events = await ended(http, job["id"])
    assert job["error"]["code"] == "adapter_not_servable"
    assert not [event for event in events if event["type"] == "metrics"]
    assert (await http.get(f"{JOBS}/{job['id']}/checkpoints")).json()["data"] == []
    assert "rank is 8" in job["error"]["message"]
    assert job["fine_tuned_model"] is None
    models = (await http.get("/v1/models")).json()["data"]
    assert [model["id"] for model in models] == [BASE_MODEL]


async def test_a_worker_of_two_devices_trains_on_both(tiny, api: Api, http, work, chats):
    """Two processes on this machine's CPU represent two GPUs."""
    api.settings.trainer_gpus = 2
    file_id = await upload(http, chats(12))
    job = await create(http, file_id, hyperparameters=SETTINGS)
    async with work("cpu", "gpu"):
        job, _ = await ended(http, job["id"])
    assert job["status"] == "succeeded", job["error"]
    passport = await adapter_file(api, job["fine_tuned_model"], "passport.json")
    assert passport["spec"]["gpus"] == 2
