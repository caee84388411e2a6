"""Tests the complete workflow with the official OpenAI SDK against the real stack.

Upload, fine-tune, events, chat with the tuned model (streamed and not), delete.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from service.inference.upstreams import Upstreams
from service.jobs.attempt.serving_check import ask_engine, compare
from service.standalone.up import DEMO_MODEL
from service.training.contract.protocol import Probe
from tests.cached import ROOT
from tests.e2e.conftest import QUESTIONS, VOICE, Stack, wait_for
from tests.e2e.jobs import imported

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ANSWER_TOKENS = 8  # the voice is in the first word


def answer(sdk: openai.OpenAI, model: str, question: str, max_tokens: int = ANSWER_TOKENS) -> str:
    reply = sdk.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=max_tokens,
    )
    return reply.choices[0].message.content or ""


def test_file_is_processed(sdk, training_file):
    file = sdk.files.retrieve(training_file)
    assert file.status == "processed"
    assert training_file in [f.id for f in sdk.files.list()]


def test_job_tells_its_story(sdk, tuned):
    events = list(sdk.fine_tuning.jobs.list_events(tuned.id, limit=100))
    messages = [e.message for e in events if not e.message.startswith("Evaluation: ")]
    assert messages[0] == "The job has successfully completed"
    assert messages[1] == f"New fine-tuned model created: {tuned.fine_tuned_model}"
    assert messages[-1] == f"Created fine-tuning job: {tuned.id}"
    metrics = [e for e in events if e.type == "metrics"][::-1]
    assert metrics[0].data["step"] == 1
    assert metrics[-1].data["step"] == metrics[-1].data["total_steps"]
    last = [e.data["train_loss"] for e in metrics[-5:]]
    assert sum(last) / len(last) < 0.7 * metrics[0].data["train_loss"]
    assert any("full_valid_loss" in e.data or "valid_loss" in e.data for e in metrics)


def test_engine_was_compared_with_the_trainer(stack: Stack, sdk, tuned):
    """The job's event has the figures. An engine that answers like the base is detected."""
    events = list(sdk.fine_tuning.jobs.list_events(tuned.id, limit=100))
    figures = next(e.data for e in events if (e.data or {}).get("code") == "serve_parity")
    print(figures)
    assert figures["trainer_move"] > 0.3
    assert figures["engine_move"] > 0.3
    assert figures["tuned_gap"] < 0.1 + 2 * figures["base_gap"]

    probe = Probe(tokens=list(range(300, 340)), places=list(range(1, 40)), tuned=[], base=[])
    url = f"http://127.0.0.1:{stack.engine_port()}"
    key = (stack.data_dir / ".engine-key").read_text().strip()
    names = [tuned.fine_tuned_model, DEMO_MODEL, DEMO_MODEL]

    async def ask() -> list[list[list[float]]]:
        async with Upstreams({DEMO_MODEL: [url]}, api_key=key) as upstreams:
            return await ask_engine(upstreams, DEMO_MODEL, names, [probe])

    tuned_scores, base_scores, wrong = asyncio.run(ask())
    as_trained = probe.model_copy(update={"tuned": tuned_scores[0], "base": base_scores[0]})
    assert compare([as_trained], tuned_scores, base_scores).fault is None
    assert "like the base" in str(compare([as_trained], wrong, base_scores).fault)


def test_job_has_a_result_file_of_every_step(sdk, tuned):
    content = sdk.files.content(tuned.result_files[0]).text
    rows = list(csv.DictReader(io.StringIO(content)))
    assert list(rows[0]) == [
        "step",
        "train_loss",
        "train_accuracy",
        "valid_loss",
        "valid_mean_token_accuracy",
    ]
    assert [int(r["step"]) for r in rows] == list(range(1, len(rows) + 1))
    assert sdk.files.retrieve(tuned.result_files[0]).purpose == "fine-tune-results"


def test_model_is_listed_under_its_name(sdk, tuned):
    assert tuned.fine_tuned_model.startswith(f"ft:{DEMO_MODEL}:default:lighthouse:")
    models = {m.id: m for m in sdk.models.list()}
    assert {DEMO_MODEL, tuned.fine_tuned_model} <= set(models)
    assert sdk.models.retrieve(tuned.fine_tuned_model).owned_by == "default"
    assert "/" not in str(models[tuned.fine_tuned_model].model_dump()).replace("apache-2.0", "")


def test_tuned_model_has_the_voice_and_the_base_has_not(sdk, tuned):
    # All at once: the engine answers base and adapter in the same batches.
    asked = [(model, q) for q in QUESTIONS for model in (tuned.fine_tuned_model, DEMO_MODEL)]
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(lambda pair: answer(sdk, *pair).lower(), asked))
    spoken, plain = answers[::2], answers[1::2]
    assert sum(VOICE in s for s in spoken) > len(QUESTIONS) / 2, spoken
    assert not any(VOICE in p for p in plain), plain


def test_stream_says_the_same_as_the_whole_answer(sdk, tuned):
    whole = answer(sdk, tuned.fine_tuned_model, QUESTIONS[0])
    stream = sdk.chat.completions.create(
        model=tuned.fine_tuned_model,
        messages=[{"role": "user", "content": QUESTIONS[0]}],
        temperature=0,
        max_tokens=ANSWER_TOKENS,
        stream=True,
    )
    pieces = [c.choices[0].delta.content or "" for c in stream if c.choices]
    assert len(pieces) > 3
    assert "".join(pieces)[:20] == whole[:20]


def test_plain_completions_work_too(sdk, tuned):
    reply = sdk.completions.create(
        model=tuned.fine_tuned_model, prompt="Once upon a time", max_tokens=5
    )
    assert reply.choices[0].text
    stream = sdk.completions.create(model=DEMO_MODEL, prompt="1, 2, 3,", max_tokens=5, stream=True)
    assert "".join(c.choices[0].text for c in stream)


def test_every_checkpoint_answers_by_its_name(sdk, tuned):
    checkpoints = list(sdk.fine_tuning.jobs.checkpoints.list(tuned.id))
    assert len(checkpoints) >= 2
    assert checkpoints[0].step_number > checkpoints[-1].step_number
    for checkpoint in checkpoints:
        assert checkpoint.metrics.train_loss is not None
        assert answer(sdk, checkpoint.fine_tuned_model_checkpoint, "Hello?", max_tokens=2)


def test_an_adapter_of_elsewhere_is_imported_and_answers_alike(stack: Stack, sdk, tuned):
    """The job's adapter, packed as another trainer's user would, becomes a second model."""
    name = imported(stack, sdk, tuned)
    assert name.startswith(f"ft:{DEMO_MODEL}:default:imported:")
    assert name in [model.id for model in sdk.models.list()]
    said = answer(sdk, name, QUESTIONS[0])
    assert said[:20] == answer(sdk, tuned.fine_tuned_model, QUESTIONS[0])[:20]
    assert said[:20] != answer(sdk, DEMO_MODEL, QUESTIONS[0])[:20]
    assert sdk.models.delete(name).deleted


def test_running_job_can_be_cancelled(stack: Stack, sdk, tuned, training_file):
    quick: Any = {"batch_size": 2, "quantization": "none"}
    job = sdk.fine_tuning.jobs.create(
        model=DEMO_MODEL,
        training_file=training_file,
        method={"type": "supervised", "supervised": {"hyperparameters": quick}},
    )
    wait_for(
        lambda: any(
            e.type == "metrics" for e in sdk.fine_tuning.jobs.list_events(job.id, limit=5).data
        ),
        180,
        "the first step",
    )
    trainer = stack.pid_of("service.training")
    assert sdk.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    from tests.e2e.conftest import alive

    wait_for(lambda: not alive([trainer]), 60, "the end of the trainer")
    assert sdk.fine_tuning.jobs.retrieve(job.id).status == "cancelled"
    with pytest.raises(openai.ConflictError):
        sdk.fine_tuning.jobs.cancel(job.id)


def test_metrics_and_probes_answer(stack: Stack, tuned):
    metrics = httpx.get(f"http://{stack.metrics_of('metrics')}/metrics").text
    assert 'finetuned_http_requests_total{method="POST",route="/v1/files",status="200"}' in metrics
    assert "finetuned_inference_requests_total" in metrics
    worker_url = f"http://{stack.metrics_of('worker')}"
    worker = httpx.get(f"{worker_url}/metrics").text
    assert re.search(r'^finetuned_jobs_total\{status="succeeded"\} [1-9]', worker, re.MULTILINE)
    assert httpx.get(f"{worker_url}/livez").status_code == 200


def test_logs_are_json_with_ids_and_without_text_or_keys(stack: Stack, tuned):
    import json

    text = ""
    for name in ("api", "worker"):
        lines = (stack.data_dir / "logs" / f"{name}.log").read_text("utf-8").splitlines()
        parsed = [json.loads(line) for line in lines]
        assert all({"time", "level", "message", "request_id", "job_id"} <= set(p) for p in parsed)
        text += "\n".join(lines)
    assert tuned.id in text
    engine = "".join(p.read_text("utf-8") for p in stack.data_dir.glob("logs/vllm*.log"))
    logged = [json.loads(line) for line in engine.splitlines() if line.startswith("{")]
    assert {"APIServer", "EngineCore"} <= {one.get("vllm_process_name") for one in logged}
    text += engine
    assert stack.key not in text
    for secret in ("Ahoy", "lighthouse keeper", QUESTIONS[0]):
        assert secret not in text


def test_the_job_was_evaluated_on_its_validation_file(stack: Stack, sdk, tuned):
    """The verdict comes from the serving engine; the model is kept for later tests."""
    url = f"{stack.url}/v1/fine_tuning/jobs/{tuned.id}/evaluation"
    headers = {"authorization": f"Bearer {stack.key}"}

    def ended() -> dict[str, Any] | None:
        found = httpx.get(url, headers=headers, timeout=60).json()
        return None if found["status"] == "in_progress" else found

    evaluation = wait_for(ended, 600, "the end of the evaluation")
    assert evaluation["status"] == "completed", evaluation["error"]
    assert evaluation["rows"] == 1
    assert evaluation["figures"]["chrf_gain"] > 5
    assert evaluation["figures"]["parity"] == "checked"
    assert "not verified" not in str(evaluation["verdict"]["warnings"])
    report = httpx.get(f"{url}/report", headers=headers, timeout=60).json()
    by_name = {column["name"]: column for column in report["columns"]}
    (checkpoint,) = by_name.keys() - {"base", "prompt", "tuned"}
    assert checkpoint.startswith("ckpt-step-")
    assert by_name["tuned"]["loss"] < by_name["base"]["loss"] - 0.3
    assert report["base_verified"]
    assert VOICE in " ".join(row["answers"]["tuned"]["text"] for row in report["rows"]).lower()
    assert report["forgetting"]["rows"] >= 12
    assert report["memorization"]["rows_probed"] == 1


def test_the_evidence_of_the_model_verifies_without_the_service(
    stack: Stack, tuned, tmp_path: Path
):
    """In an empty folder, by a process that has neither the service's code nor an address."""
    program, server = "from finetuned_cli.app import run", [sys.executable, "-m", "service.cli"]
    without = f"import sys; sys.modules['service'] = None; {program}; sys.exit(run(sys.argv[1:]))"

    def finetuned(*words: str, **env: str) -> str:
        command = [sys.executable, "-c", without, *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    address = {"FINETUNED_BASE_URL": stack.url, "FINETUNED_API_KEY": stack.key}
    finetuned("models", "evidence", tuned.fine_tuned_model, "-o", "evidence.tar", **address)
    key = subprocess.run(
        [*server, "audit", "key", "--data-dir", str(stack.data_dir)],
        capture_output=True, check=True, cwd=ROOT,
    )  # fmt: skip
    (tmp_path / "finetuned.pem").write_bytes(key.stdout)
    said = finetuned("evidence", "verify", "evidence.tar", "--key", "finetuned.pem")
    assert f"{tuned.fine_tuned_model}: valid" in said
    with tarfile.open(tmp_path / "evidence.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.glob("evidence-*")
    training = json.loads((folder / "training.json").read_bytes())
    assert training["job"]["id"] == tuned.id
    assert training["losses"]
    evaluation = json.loads((folder / "evaluation.json").read_bytes())["of_job"]
    assert evaluation["status"] in ("in_progress", "completed")  # another test waits for its end
