"""Tests that nothing acknowledged is lost if each process is killed with SIGKILL."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from itertools import pairwise

import openai
import pytest

from tests.cached import ROOT
from tests.e2e.conftest import TINY_MODEL, Stack, alive, wait_for
from tests.e2e.jobs import attempt_of, messages, small_file, wait_for_success

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROWS, EPOCHS, BATCH = 64, 48, 4
STEPS = ROWS * EPOCHS // BATCH  # long enough to be killed midway


@pytest.fixture(scope="module")
def bare_sdk(bare_stack: Stack):
    """The official OpenAI SDK, connected to the stack without an engine."""
    with bare_stack.client() as client:
        yield client


@pytest.fixture(scope="module")
def file_id(bare_sdk: openai.OpenAI) -> str:
    return small_file(bare_sdk, ROWS)


def start_job(sdk: openai.OpenAI, file_id: str) -> str:
    job = sdk.fine_tuning.jobs.create(
        model=TINY_MODEL,
        training_file=file_id,
        seed=3,
        hyperparameters={"n_epochs": EPOCHS, "batch_size": BATCH},
    )
    return job.id


def wait_for_step(sdk: openai.OpenAI, job_id: str, attempt: int = 1) -> None:
    """Wait until the attempt is training."""

    def trains() -> bool:
        newest = sdk.fine_tuning.jobs.list_events(job_id, limit=1).data
        job = sdk.fine_tuning.jobs.retrieve(job_id)
        assert job.status in ("validating_files", "queued", "running"), job
        return attempt_of(job) == attempt and newest[0].message.startswith("Step ")

    wait_for(trains, 180, f"a step of attempt {attempt}")


def wait_for_checkpoint(sdk: openai.OpenAI, job_id: str, after: int = 0) -> int:
    """Wait until a checkpoint after this step is stored, and return its step."""

    def newest() -> int | None:
        found = sdk.fine_tuning.jobs.checkpoints.list(job_id, limit=1).data
        return found[0].step_number if found and found[0].step_number > after else None

    return wait_for(newest, 180, f"a checkpoint after step {after}")


def result(sdk: openai.OpenAI, job: openai.types.fine_tuning.FineTuningJob) -> list[str]:
    """Return the result file: the loss of each step."""
    return sdk.files.content(job.result_files[0]).text.splitlines()[1:]


@pytest.fixture(scope="module")
def undisturbed(bare_sdk: openai.OpenAI, file_id: str) -> list[str]:
    """The result of a job during which no process was killed."""
    rows = result(bare_sdk, wait_for_success(bare_sdk, start_job(bare_sdk, file_id)))
    assert [int(row.split(",")[0]) for row in rows] == list(range(1, STEPS + 1))
    return rows


def test_every_process_is_killed_during_one_job(bare_stack, bare_sdk, file_id, undisturbed):
    """The job survives each kill and the stop of `up`, and its result is the undisturbed one."""
    job_id = start_job(bare_sdk, file_id)
    step = wait_for_checkpoint(bare_sdk, job_id)
    os.kill(bare_stack.pid_of("service.training"), signal.SIGKILL)

    wait_for_step(bare_sdk, job_id, attempt=2)
    before = {f.id for f in bare_sdk.files.list()}
    trainer = bare_stack.pid_of("service.training")
    os.kill(bare_stack.pid_of("valkey-server"), signal.SIGKILL)
    wait_for(bare_stack.ready, 60, "the return of the store")
    assert {f.id for f in bare_sdk.files.list()} == before

    wait_for_checkpoint(bare_sdk, job_id, after=step)
    assert attempt_of(bare_sdk.fine_tuning.jobs.retrieve(job_id)) == 2, "the trainer saw the kill"
    worker = bare_stack.pid_of("service.cli worker")
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not alive([worker, trainer]), 60, "the end of worker and trainer")

    wait_for_step(bare_sdk, job_id, attempt=3)
    stop_and_start(bare_stack)
    wait_for_step(bare_sdk, job_id, attempt=4)
    kill_and_start(bare_stack, bare_sdk)

    job = wait_for_success(bare_sdk, job_id)
    found = messages(bare_sdk, job_id)
    assert any(m.startswith("The trainer was killed by SIGKILL") for m in found)
    assert any("Attempt 2 was lost" in m for m in found)
    assert any("Attempt 4 was lost" in m for m in found)
    assert sum("resuming at step" in m for m in found) == 4
    assert attempt_of(job) == 5
    assert result(bare_sdk, job) == undisturbed


def stop_and_start(stack: Stack) -> None:
    """Stop `up` as Ctrl-C does. Nothing is left running."""
    pids = stack.all_pids()
    stack.stop(signal.SIGINT)
    assert alive(pids) == []
    assert "nothing is left running" in (stack.data_dir / "up.log").read_text()
    stack.start()


def kill_and_start(stack: Stack, sdk: openai.OpenAI) -> None:
    """Kill `up`. The next one ends what is left of it, and finds everything again."""
    files = [f.id for f in sdk.files.list()]
    models = [m.id for m in sdk.models.list()]
    pids = stack.all_pids()
    stack.stop(signal.SIGKILL)
    stack.start()
    assert not set(alive(pids)) - set(stack.all_pids()), "a process of the first run lives on"
    found = [f.id for f in sdk.files.list()]
    assert found[-len(files) :] == files  # before them, if the job has ended: its result
    assert set(models) <= {m.id for m in sdk.models.list()}


def test_second_up_on_the_same_folder_says_so_and_exits(bare_stack):
    done = subprocess.run(
        bare_stack.command(), capture_output=True, text=True, timeout=120, cwd=ROOT, check=False
    )
    assert done.returncode == 1
    assert "already running" in done.stderr
    assert bare_stack.ready()


def test_key_file_is_private(bare_stack):
    assert (bare_stack.data_dir / "api-key").stat().st_mode & 0o777 == 0o600


def test_event_times_run_forward(bare_sdk, undisturbed):
    job = next(iter(bare_sdk.fine_tuning.jobs.list()))
    times = [e.created_at for e in bare_sdk.fine_tuning.jobs.list_events(job.id, limit=100)][::-1]
    assert all(a <= b for a, b in pairwise(times))
    assert times[-1] <= time.time()
