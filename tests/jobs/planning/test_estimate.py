"""Tests of estimates over HTTP, the fit to a machine, and refusals."""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.open_models import OPEN_MODELS
from service.fleet import workers
from service.fleet.workers import Capacity, Worker
from service.jobs.planning.machines import plan_on_best
from service.jobs.planning.memory_plan import Training, advice, plan
from service.jobs.planning.speed import SpeedKey, Speeds, assumed_speed
from service.training.contract.hyperparameters import RESOLVED
from service.training.contract.methods import METHODS
from service.training.model.shape import ModelShape
from tests.conftest import BASE_MODEL, Api, chat_line
from tests.jobs.test_jobs import JOBS, create, until, upload

pytestmark = pytest.mark.slow

GIB = 2**30
ESTIMATE = "/v1/fine_tuning/estimate"


def large_model(folder: Path) -> Path:
    """A folder with the config and tensor headers of an 8-billion-weight Llama, without weights."""
    hidden, inner, layers, words, kv = 4096, 14336, 32, 128_256, 1024
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": words,
        "tie_word_embeddings": False,
    }
    shapes = {"model.embed_tokens": (words, hidden), "lm_head": (words, hidden)}
    for i in range(layers):
        at = f"model.layers.{i}"
        for name, shape in {
            "self_attn.q_proj": (hidden, hidden),
            "self_attn.k_proj": (kv, hidden),
            "self_attn.v_proj": (kv, hidden),
            "self_attn.o_proj": (hidden, hidden),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "mlp.down_proj": (hidden, inner),
        }.items():
            shapes[f"{at}.{name}"] = shape
    header = {
        f"{name}.weight": {"dtype": "BF16", "shape": list(shape), "data_offsets": [0, 0]}
        for name, shape in shapes.items()
    }
    raw = json.dumps(header).encode()
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw)
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> ModelShape:
    return ModelShape.read(large_model(tmp_path_factory.mktemp("large") / "llama"))


def gpu(gib: float) -> Capacity:
    return Capacity(device="cuda", device_name="X", gpus=1, memory_bytes=int(gib * GIB))


def training(**fields: object) -> Training:
    values = {
        "batch_size": 8,
        "n_epochs": 3,
        "max_seq_length": 2048,
        "learning_rate_multiplier": 1,
        "learning_rate": 1e-4,
        "lora": {"r": 16, "alpha": 32},
    }
    chosen = RESOLVED["supervised"].model_validate(values).model_copy(update=fields)
    return Training(chosen, "supervised", longest=2048, tokens_at_once=8192)


def test_an_8b_qlora_fits_a_gpu_of_24_gib_and_not_one_of_4(llama):
    large, small = plan(training(), llama, gpu(80)), plan(training(), llama, gpu(24))
    assert (large.fits, large.tokens_at_once, large.gradient_checkpointing) == (True, 8192, False)
    assert small.fits
    assert small.tokens_at_once < 8192 or small.gradient_checkpointing
    assert small.needed < large.needed
    assert not plan(training(), llama, gpu(4)).fits


def test_lora_without_quantisation_is_told_to_quantise(llama):
    asked = training(quantization="none")
    assert not plan(asked, llama, gpu(14)).fits
    assert 'quantization to "nf4"' in advice(asked, llama, gpu(14)).text
    assert "smaller base model" in advice(training(), llama, gpu(2)).text


def gpus(count: int, gib: float, sharding: str = "auto") -> Capacity:
    return gpu(gib).model_copy(update={"gpus": count, "sharding": sharding})


@pytest.fixture(scope="module")
def large_llama() -> ModelShape:
    (model,) = [m for m in OPEN_MODELS if m.id == "meta-llama/Llama-3.3-70B-Instruct"]
    assert model.shape is not None
    return model.shape.model()


def of_1024_tokens(**fields: object) -> Training:
    return Training(training(**fields).chosen, "supervised", longest=1024, tokens_at_once=8192)


def test_a_70b_qlora_fits_four_gpus_of_24_gib_that_share_it(large_llama):
    found = plan(of_1024_tokens(), large_llama, gpus(4, 24))
    assert (found.fits, found.gpus, found.sharding) == (True, 4, "fsdp")
    assert found.host_bytes == pytest.approx(37 * GIB, rel=0.02)  # one process at a time
    worker = Worker(name="w", queues=("gpu",), **gpus(4, 24).model_dump())
    there = plan_on_best(of_1024_tokens(), large_llama, [worker])
    assert there is not None
    assert there.refusal is None
    words = " ".join(note.text for note in there.describe())
    assert "on each of 4 GPUs (X)" in words
    assert "sharding → fsdp: each of 4 GPUs holds a part of the base model" in words


def test_it_fits_neither_one_of_them_nor_four_without_sharding(large_llama):
    assert not plan(of_1024_tokens(), large_llama, gpus(1, 24)).fits
    assert not plan(of_1024_tokens(), large_llama, gpus(4, 24, "ddp")).fits
    older = gpus(4, 24).model_copy(update={"sharding": None})
    assert not plan(of_1024_tokens(), large_llama, older).fits


def test_a_batch_with_fewer_rows_than_gpus_is_told_to_grow(large_llama):
    small = of_1024_tokens(batch_size=2)
    assert plan(small, large_llama, gpus(4, 24)).gpus == 2
    assert "set batch_size to 4" in advice(small, large_llama, gpus(4, 24)).text


def test_a_base_model_that_fits_one_gpu_is_copied_to_each(llama):
    found = plan(training(), llama, gpus(4, 24))
    assert (found.gpus, found.sharding, found.host_bytes) == (4, "ddp", None)
    assert plan(training(), llama, gpus(4, 24, "fsdp")).sharding == "fsdp"


@pytest.mark.parametrize("gib", [6, 8, 12, 16, 24, 48, 80])
def test_advice_is_true(llama, gib):
    """The configuration in the advice fits."""
    asked = training(quantization="none", max_seq_length=8192)
    asked = Training(asked.chosen, asked.method, 8192, 8192)
    if plan(asked, llama, gpu(gib)).fits:
        return
    said, fields = advice(asked, llama, gpu(gib))
    assert all(f"{name} to " in said and str(value) in said for name, value in fields.items())
    changed = Training(asked.chosen.model_copy(update=fields), asked.method, 8192, 8192)
    assert plan(changed, llama, gpu(gib)).fits is bool(fields)


@pytest.fixture
def tiny(settings, tiny_model_path: Path) -> None:
    settings.models_file.write_text(
        f"models:\n- {{id: {BASE_MODEL}, path: {tiny_model_path}, license: mit, "
        "context_length: 512, parameters: 200000}\n",
        "utf-8",
    )


def test_a_model_that_float16_cannot_hold_is_planned_in_float32_on_a_t4(llama):
    """`tests/training/test_float16.py` shows that the trainer computes it so."""
    t4 = gpu(160).model_copy(update={"has_bf16": False})
    gemma = replace(llama, model_type="gemma2")
    asked = training(quantization="none")
    stable, unstable = (plan(asked, shape, t4).memory for shape in (llama, gemma))
    assert unstable.weights == 2 * stable.weights
    assert unstable.activations > stable.activations
    for machine in (gpu(160), gpu(160).model_copy(update={"has_bf16": True})):
        assert plan(asked, gemma, machine).memory == stable
    assert not plan(asked, gemma, t4.model_copy(update={"memory_bytes": 24 * GIB})).fits


def test_a_processor_without_bfloat16_is_planned_in_float32(llama):
    old, new = (
        Capacity(device="cpu", device_name="X", gpus=0, memory_bytes=64 * GIB, has_bf16=bf16)
        for bf16 in (False, True)
    )
    asked = training(quantization="none")
    assert plan(asked, llama, old).memory.weights == 2 * plan(asked, llama, new).memory.weights


async def asked_until_ready(http, file_id: str, **fields: object) -> httpx.Response:
    """The answer once the file is checked and measured."""
    body = {"model": BASE_MODEL, "training_file": file_id, **fields}
    async with asyncio.timeout(60):
        while (answer := await http.post(ESTIMATE, json=body)).status_code == 409:
            await asyncio.sleep(0.1)
    return answer


async def estimated(http, file_id: str, **fields: object) -> dict[str, Any]:
    answer = await asked_until_ready(http, file_id, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.timeout(600)
async def test_estimate_says_what_the_job_then_does(tiny, forked_trainers, http, work):
    rows = [chat_line(f"What is {i} and {i}? " * 9, f"Aye, it is {2 * i}. " * 9) for i in range(45)]
    file_id = await upload(http, "\n".join(rows).encode())
    given = {"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}}
    async with work("cpu", "gpu"):
        made = await estimated(http, file_id, **given)
        assert (await http.get(JOBS)).json()["data"] == []
        job = await create(http, file_id, **given)
        async with asyncio.timeout(400):
            while (job := (await http.get(f"{JOBS}/{job['id']}")).json())["status"] != "succeeded":
                assert job["status"] != "failed", job["error"]
                await asyncio.sleep(0.2)
        again = await estimated(http, file_id, **given)
    events = (await http.get(f"{JOBS}/{job['id']}/events?limit=100")).json()["data"]
    started = next(e["data"] for e in events if "total_steps" in e["data"] and "dtype" in e["data"])
    assert made["steps"] == started["total_steps"] == 2 * 23
    assert 0.7 < made["trained_tokens"] / job["trained_tokens"] < 1.4
    assert (made["fits"], made["advice"]) == (True, None)
    assert (made["gpus"], made["sharding"]) == (0, None)
    assert made["memory"]["total"] > sum(made["memory"][k] for k in ("weights", "activations"))
    assert made["hyperparameters"]["max_seq_length"] == 256
    assert any(reason.startswith("batch_size auto → 2") for reason in made["reasons"])
    told = " | ".join(event["message"] for event in events)
    assert all(reason in told for reason in made["reasons"])
    assert "memory: about" in told
    assert (made["duration"]["basis"], made["duration"]["jobs"]) == ("model_size", 0)
    assert (again["duration"]["basis"], again["duration"]["jobs"]) == ("past_jobs", 1)
    assert again["duration"]["low"] <= again["duration"]["expected"] <= again["duration"]["high"]


async def test_without_a_worker_the_fit_is_unknown(tiny, http, work, chats):
    file_id = await upload(http, chats(12))
    async with work("cpu"):
        made = await estimated(http, file_id)
    assert made["memory"] is made["fits"] is made["duration"] is None
    assert made["gpus"] is made["sharding"] is None
    assert made["steps"] > 0


async def test_the_gpus_that_share_a_job_are_named(api: Api, tiny, http, work, chats):
    worker = Worker(name="w", queues=("gpu",), **gpus(4, 24).model_dump())
    await workers.announce(api.app.state.redis, worker)
    file_id = await upload(http, chats(12))
    hyperparameters = {"batch_size": 2}
    given = {"method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}}
    async with work("cpu"):
        made = await estimated(http, file_id, **given)
    assert (made["gpus"], made["sharding"]) == (2, "ddp")


async def test_broken_file_has_no_estimate(tiny, http, work):
    file_id = await upload(http, b"{broken\n")
    async with work("cpu"):
        answer = await asked_until_ready(http, file_id)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_training_file"
    assert "Line 1" in answer.json()["error"]["message"]


async def test_a_file_that_is_not_ready_is_answered_at_once_and_measured_meanwhile(
    tiny, http, work, chats
):
    file_id = await upload(http, chats(12))
    body = {"model": BASE_MODEL, "training_file": file_id}
    unchecked = await http.post(ESTIMATE, json=body)
    async with work("cpu"):
        async with asyncio.timeout(60):
            while (await http.get(f"/v1/files/{file_id}")).json()["status"] != "processed":
                await asyncio.sleep(0.1)
    unmeasured = await http.post(ESTIMATE, json=body)
    async with work("cpu"):
        assert (await estimated(http, file_id))["rows"] == 12
    for answer, why in ((unchecked, "being checked"), (unmeasured, "being measured")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_ready")
        assert why in answer.json()["error"]["message"]
        assert answer.headers["retry-after"] == "1"
        assert "x-should-retry" not in answer.headers


@pytest.mark.parametrize(
    ("rows", "method", "code"),
    [(12, "dpo", "invalid_training_file"), (3, "supervised", "invalid_n_examples")],
)
async def test_a_job_that_would_fail_has_no_estimate(tiny, http, work, chats, rows, method, code):
    file_id = await upload(http, chats(rows))
    async with work("cpu"):
        given = {"method": {"type": method}}
        answer = await asked_until_ready(http, file_id, **given)
        job = await until(http, (await create(http, file_id, **given))["id"], "failed")
    assert answer.status_code == 400
    assert answer.json()["error"] == {"type": "invalid_request_error", **job["error"]}
    assert job["error"]["code"] == code


async def test_what_no_worker_could_train_is_refused_at_once(api: Api, http, settings, chats):
    """The base model alone is larger than the only worker online."""
    path = large_model(settings.data_dir / "large")
    settings.models_file.write_text(
        f"models:\n- {{id: {BASE_MODEL}, path: {path}, license: mit, context_length: 8192}}\n"
    )
    file_id = await upload(http, chats(12))
    worker = Worker(name="w", queues=("gpu",), **gpu(4).model_dump())
    await workers.announce(api.app.state.redis, worker)
    body = {"model": BASE_MODEL, "training_file": file_id}
    answer = await http.post(JOBS, json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "does_not_fit"
    assert "3.6 GiB available" in error["message"]
    assert "smaller base model" in error["message"]
    await workers.announce(api.app.state.redis, worker.model_copy(update=gpu(24).model_dump()))
    assert (await http.post(JOBS, json=body)).status_code == 200


async def test_a_base_model_of_unknown_size_is_trained_with_checkpointing(
    api: Api, http, work, chats
):
    file_id = await upload(http, chats(12))
    async with work("cpu"):
        job = await until(http, (await create(http, file_id))["id"], "queued")
    record = await api.app.state.jobs.get(job["organization_id"], job["id"])
    assert record.gradient_checkpointing
    events = (await http.get(f"{JOBS}/{job['id']}/events")).json()["data"]
    assert any("dimensions of the base model are unknown" in e["message"] for e in events)


async def test_what_its_data_makes_too_large_fails_with_the_change(api, http, work, tiny, chats):
    file_id = await upload(http, chats(12))
    job = await create(http, file_id)
    small = Worker(
        name="w",
        queues=("gpu",),
        device="cpu",
        device_name="Y",
        gpus=0,
        memory_bytes=600 * 2**20,
    )
    await workers.announce(api.app.state.redis, small)
    async with work("cpu"):
        job = await until(http, job["id"], "failed")
    assert job["error"]["code"] == "does_not_fit"


def test_kto_and_dpo_are_slower_by_their_passes_without_gradient():
    speeds = {name: assumed_speed(gpu(24), 10**9, name).expected for name in METHODS}
    # One pass over the pair by the reference; for KTO also two over the mismatch.
    assert speeds["supervised"] / speeds["dpo"] == pytest.approx(1.5)
    assert speeds["supervised"] / speeds["kto"] == pytest.approx(2.5)


def test_four_gpus_are_assumed_to_train_four_times_as_fast():
    alone, four = (
        assumed_speed(machine, 10**9, "supervised") for machine in (gpu(24), gpus(4, 24))
    )
    assert four.expected == pytest.approx(4 * alone.expected)


async def test_speeds_are_of_the_last_jobs_of_their_kind(api: Api):
    speeds = Speeds(api.app.state.redis)
    kind = SpeedKey("X", BASE_MODEL, "supervised", "nf4")
    for tokens in range(1, 41):
        await speeds.record(kind, float(tokens))
    found = await speeds.expected(kind, gpu(24), 10**9)
    assert (found.jobs, found.expected) == (20, 30.5)
    assert found.low < 21 <= 40 < found.high
    other = await speeds.expected(SpeedKey("Z", BASE_MODEL, "dpo", "nf4"), gpu(24), 10**9)
    assert (other.jobs, other.low < other.expected < other.high) == (0, True)


async def test_a_speed_of_0_does_not_count(api: Api):
    """Version 0.1 stored it after a training of one step."""
    speeds = Speeds(api.app.state.redis)
    kind = SpeedKey("X", BASE_MODEL, "supervised", "nf4")
    await api.app.state.redis.lpush(kind.key, "0.000")
    assert (await speeds.expected(kind, gpu(24), 10**9)).jobs == 0
    await speeds.record(kind, 8.0)
    assert (await speeds.expected(kind, gpu(24), 10**9)).expected == 8.0


async def test_a_job_that_cannot_be_prepared_fails_once(api: Api, http, work, tiny, chats):
    """A record that no code expects: the job ends, instead of waiting forever."""
    job = await create(http, await upload(http, chats(12)))
    await workers.announce(
        api.app.state.redis, Worker(name="w", queues=("gpu",), **gpu(24).model_dump())
    )
    kind = SpeedKey(gpu(24).device_name, BASE_MODEL, "supervised", "nf4")
    await api.app.state.redis.lpush(kind.key, "fast")
    async with work("cpu"):
        job = await until(http, job["id"], "failed")
    assert job["error"]["code"] == "internal_error"
    assert "operator" in job["error"]["message"]
