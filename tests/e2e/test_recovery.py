"""Every process is killed with SIGKILL once, and nothing that was acknowledged is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from itertools import pairwise

import httpx
import openai
import pytest

from service.standalone.up import DEMO_MODEL
from tests.e2e.conftest import ROOT, Stack, alive, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def small_file(sdk: openai.OpenAI, rows: int = 32) -> str:
    lines = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": f"What is item {i}?"},
                    {"role": "assistant", "content": f"Item {i} is a book, reader."},
                ]
            }
        )
        for i in range(rows)
    ]
    file = sdk.files.create(file=("small.jsonl", "\n".join(lines).encode()), purpose="fine-tune")
    sdk.files.wait_for_processing(file.id, poll_interval=0.2)
    return file.id


def start_job(sdk: openai.OpenAI, file_id: str, epochs: int = 3) -> str:
    job = sdk.fine_tuning.jobs.create(
        model=DEMO_MODEL,
        training_file=file_id,
        seed=3,
        hyperparameters={"n_epochs": epochs, "batch_size": 4},
    )
    return job.id


def messages(sdk: openai.OpenAI, job_id: str) -> list[str]:
    return [e.message for e in sdk.fine_tuning.jobs.list_events(job_id, limit=100).data]


def wait_for_message(sdk: openai.OpenAI, job_id: str, start: str, timeout_s: float = 180) -> None:
    wait_for(
        lambda: any(m.startswith(start) for m in messages(sdk, job_id)),
        timeout_s,
        f"the event {start!r}",
    )


def wait_for_success(sdk: openai.OpenAI, job_id: str) -> openai.types.fine_tuning.FineTuningJob:
    job = wait_for(
        lambda: (
            (j := sdk.fine_tuning.jobs.retrieve(job_id)).status
            in ("succeeded", "failed", "cancelled")
            and j
        ),
        300,
        "the end of the job",
    )
    assert job.status == "succeeded", job.error
    return job


def test_killed_trainer_resumes_from_its_checkpoint(stack: Stack, sdk):
    job_id = start_job(sdk, small_file(sdk))
    wait_for_message(sdk, job_id, "Checkpoint saved")
    os.kill(stack.pid_of("service.training"), signal.SIGKILL)
    job = wait_for_success(sdk, job_id)
    told = messages(sdk, job_id)
    assert job.attempt == 2
    assert any(m.startswith("The trainer was killed by SIGKILL") for m in told)
    assert any("resuming at step" in m for m in told)
    rows = sdk.files.content(job.result_files[0]).text.splitlines()[1:]
    steps = [int(r.split(",")[0]) for r in rows]
    assert steps == list(range(1, 25))  # 32 rows × 3 epochs / 4, none missing, none twice


def test_killed_worker_is_followed_by_another_attempt(stack: Stack, sdk):
    job_id = start_job(sdk, small_file(sdk))
    wait_for_message(sdk, job_id, "Step 2/")
    worker, trainer = stack.pid_of("service.cli worker"), stack.pid_of("service.training")
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not alive([worker, trainer]), 10, "the end of worker and trainer")
    job = wait_for_success(sdk, job_id)
    assert job.attempt == 2
    assert any("Attempt 1 was lost" in m for m in messages(sdk, job_id))


def test_restarted_store_loses_nothing_and_the_training_goes_on(stack: Stack, sdk):
    file_id = small_file(sdk)
    job_id = start_job(sdk, file_id)
    wait_for_message(sdk, job_id, "Step 2/")
    before = {f.id for f in sdk.files.list()}
    trainer = stack.pid_of("service.training")
    os.kill(stack.pid_of("valkey-server"), signal.SIGKILL)
    wait_for(stack.ready, 60, "the return of the store")
    assert {f.id for f in sdk.files.list()} == before
    assert alive([trainer]), "the trainer must not notice"
    job = wait_for_success(sdk, job_id)
    assert job.attempt == 1


def test_paused_job_keeps_its_progress_and_goes_on(stack: Stack, sdk):
    job_id = start_job(sdk, small_file(sdk))
    wait_for_message(sdk, job_id, "Step 3/")
    assert sdk.fine_tuning.jobs.pause(job_id).pausing
    wait_for_message(sdk, job_id, "The trainer stopped; progress is kept", 60)
    assert sdk.fine_tuning.jobs.retrieve(job_id).status == "paused"
    sdk.fine_tuning.jobs.resume(job_id)
    wait_for_success(sdk, job_id)
    assert any("resuming at step" in m for m in messages(sdk, job_id))


def test_killed_engine_is_503_with_retry_after_and_comes_back(stack: Stack, sdk):
    with stack.client(max_retries=0) as impatient:

        def ask() -> str | None:
            return (
                impatient.chat.completions.create(
                    model=DEMO_MODEL, messages=[{"role": "user", "content": "Hi"}], max_tokens=3
                )
                .choices[0]
                .message.content
            )

        assert ask()
        os.kill(stack.pid_of("vllm.entrypoints"), signal.SIGKILL)

        def refused() -> httpx.Response | None:
            try:
                ask()
            except openai.InternalServerError as e:
                return e.response
            return None

        response = wait_for(refused, 10, "the refusal")
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        assert response.json()["error"]["type"] == "server_error"
        assert sdk.files.list() is not None  # the control plane goes on
        wait_for(stack.ready, 240, "the return of the engine")
        assert ask()


def test_second_up_on_the_same_folder_says_so_and_exits(stack: Stack):
    done = subprocess.run(
        stack.command(), capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    assert done.returncode == 1
    assert "already running" in done.stderr
    assert stack.ready()


def test_key_file_is_private(stack: Stack):
    assert (stack.data_dir / "api-key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill-9"])
def test_up_finds_everything_again(stack: Stack, sdk, number):
    """Ends the whole stack in mid-run of a job, and starts it on the same folder."""
    job_id = start_job(sdk, small_file(sdk))
    wait_for_message(sdk, job_id, "Checkpoint saved")
    files = [f.id for f in sdk.files.list()]
    models = [m.id for m in sdk.models.list()]
    pids = stack.all_pids()
    stack.stop(number)
    if number != signal.SIGKILL:
        assert alive(pids) == []
        log = (stack.data_dir / "up.log").read_text()
        assert "nothing is left running" in log
    stack.start()
    assert not set(alive(pids)) - set(stack.all_pids()), "a process of the first run lives on"
    found = [f.id for f in sdk.files.list()]
    assert found[-len(files) :] == files  # before them, where the job has ended: its result
    assert set(models) <= {m.id for m in sdk.models.list()}
    job = wait_for_success(sdk, job_id)
    assert job.attempt == 2
    assert any("resuming at step" in m for m in messages(sdk, job_id))


def test_event_times_run_forward(sdk):
    job = next(iter(sdk.fine_tuning.jobs.list()))
    times = [e.created_at for e in sdk.fine_tuning.jobs.list_events(job.id, limit=100).data][::-1]
    assert all(a <= b for a, b in pairwise(times))
    assert times[-1] <= time.time()
