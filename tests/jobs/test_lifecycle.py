"""Tests of the state machine of jobs: every transition from every status, and fencing."""

from __future__ import annotations

import pytest

from service.jobs import lifecycle
from service.jobs.records import FINAL, JobFailure, JobRecord, MemorySettings, Status
from service.training.contract.hyperparameters import RESOLVED
from service.work.records import AttemptSuperseded

NOW = 1_800_000_000
FAILURE = JobFailure(code="x", message="y")
CHOSEN = RESOLVED["supervised"](
    batch_size=2, n_epochs=1, learning_rate_multiplier=1, learning_rate=1e-3, max_seq_length=64
)


def job(status: Status = Status.QUEUED, **fields) -> JobRecord:
    return JobRecord(
        id="ftjob-a",
        project_id="proj_a",
        created_at=NOW - 10,
        project_name="acme",
        model="m",
        training_file="file-a",
        validation_file=None,
        suffix=None,
        seed=1,
        metadata=None,
        hyperparameters={},
        model_tag="abcdef",
        status=status,
        **fields,
    )


ACTIONS = {
    "prepare": (lambda j, _: lifecycle.prepare(j, CHOSEN, NOW), {Status.VALIDATING}),
    "start": (lambda j, own: lifecycle.start(j, own.attempt, NOW), {Status.QUEUED, Status.RUNNING}),
    "cancel": (lambda j, _: lifecycle.cancel(j, NOW), set(Status) - FINAL),
    "pause": (lambda j, _: lifecycle.pause(j), {Status.QUEUED, Status.RUNNING}),
    "resume": (lambda j, _: lifecycle.resume(j, NOW), {Status.PAUSED}),
    "lose": (lambda j, own: lifecycle.lose(j, own, 3, NOW), {Status.RUNNING}),
    "hand_back": (lifecycle.hand_back, {Status.RUNNING}),
    "record_progress": (lifecycle.record_progress, {Status.RUNNING}),
    "fail": (lambda j, own: lifecycle.fail(j, own, FAILURE, NOW), set(Status) - FINAL),
    "succeed": (
        lambda j, own: lifecycle.succeed(
            j, own, model="ft:m", result_files=(), trained_tokens=1, now_s=NOW
        ),
        {Status.RUNNING},
    ),
}


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_is_allowed_from_exactly_its_statuses(action, status):
    act, allowed = ACTIONS[action]
    if status in allowed:
        act(job(status), job(status))
    else:
        with pytest.raises((lifecycle.NotAllowed, AttemptSuperseded)):
            act(job(status), job(status))


@pytest.mark.parametrize(
    "action", ["start", "lose", "hand_back", "record_progress", "succeed", "fail"]
)
def test_an_older_attempt_can_write_nothing(action):
    """Attempt 1 returns when the job is at attempt 2."""
    act, _ = ACTIONS[action]
    with pytest.raises(AttemptSuperseded):
        act(job(Status.RUNNING, attempt=2), job(Status.RUNNING))


def test_a_lost_attempt_queues_the_next():
    running = job(Status.RUNNING)
    after = lifecycle.lose(running, running, 3, NOW)
    assert (after.status, after.attempt, after.fruitless_attempts) == (Status.QUEUED, 2, 1)


def test_attempts_without_progress_end_in_failure_with_advice():
    running = job(Status.RUNNING, fruitless_attempts=2)
    after = lifecycle.lose(running, running, 3, NOW)
    assert after.status is Status.FAILED
    assert after.error is not None
    assert after.error.code == "training_interrupted"
    assert "3 times" in after.error.message


def test_a_checkpoint_forgives_the_attempts_before_it():
    running = job(Status.RUNNING, fruitless_attempts=2)
    after = lifecycle.record_progress(running, running)
    assert after.fruitless_attempts == 0


def test_pause_and_resume_make_a_new_attempt():
    pausing = lifecycle.pause(job(Status.RUNNING))
    assert (pausing.status, pausing.pausing) == (Status.RUNNING, True)
    paused = lifecycle.hand_back(lifecycle.record_progress(pausing, pausing), pausing)
    assert (paused.status, paused.pausing, paused.attempt) == (Status.PAUSED, False, 1)
    resumed = lifecycle.resume(paused, NOW)
    assert (resumed.status, resumed.attempt) == (Status.QUEUED, 2)


def test_a_job_that_is_pausing_is_told_so():
    with pytest.raises(lifecycle.NotAllowed, match="pausing"):
        lifecycle.pause(lifecycle.pause(job(Status.RUNNING)))


def test_resume_while_pausing_leaves_the_attempt_its_checkpoint():
    """The worker keeps the attempt, or has already stopped the trainer and hands the job back."""
    resumed = lifecycle.resume(lifecycle.pause(job(Status.RUNNING, queued_at=5)), NOW)
    assert (resumed.status, resumed.pausing, resumed.attempt) == (Status.RUNNING, False, 1)
    assert lifecycle.record_progress(resumed, resumed) == resumed
    back = lifecycle.hand_back(resumed, resumed)
    assert (back.status, back.attempt, back.queued_at) == (Status.QUEUED, 2, 5)


def test_a_pausing_job_whose_attempt_dies_or_runs_out_of_memory_is_paused():
    pausing = lifecycle.pause(job(Status.RUNNING))
    lost = lifecycle.lose(pausing, pausing, 3, NOW)
    assert (lost.status, lost.pausing, lost.fruitless_attempts) == (Status.PAUSED, False, 1)
    smaller = lifecycle.retry_smaller(pausing, pausing, MemorySettings(512, False))
    assert (smaller.status, smaller.tokens_at_once) == (Status.PAUSED, 512)


def test_a_pausing_job_that_ends_is_not_pausing():
    pausing = lifecycle.pause(job(Status.RUNNING))
    succeeded, _ = ACTIONS["succeed"]
    failed, _ = ACTIONS["fail"]
    ends = [lifecycle.cancel(pausing, NOW), failed(pausing, pausing), succeeded(pausing, pausing)]
    assert [(end.status, end.pausing) for end in ends] == [
        (Status.CANCELLED, False),
        (Status.FAILED, False),
        (Status.SUCCEEDED, False),
    ]


def test_ends_carry_their_time():
    assert lifecycle.cancel(job(), NOW).finished_at == NOW
    assert lifecycle.fail(job(), job(), FAILURE, NOW).finished_at == NOW


def test_what_has_begun_keeps_its_place_in_the_queue():
    running = job(Status.RUNNING, queued_at=5)
    for after in (
        lifecycle.lose(running, running, 3, NOW),
        lifecycle.hand_back(running, running),
        lifecycle.retry_smaller(running, running, MemorySettings(512, False)),
    ):
        assert (after.status, after.attempt, after.queued_at) == (Status.QUEUED, 2, 5)
    resumed = lifecycle.resume(job(Status.PAUSED, queued_at=5), NOW)
    assert resumed.queued_at == NOW


def test_out_of_memory_is_answered_by_less_at_once_or_by_checkpointing():
    running = job(Status.RUNNING)
    less = lifecycle.retry_smaller(running, running, MemorySettings(512, False))
    assert (less.tokens_at_once, less.gradient_checkpointing, less.memory_retries) == (
        512,
        False,
        1,
    )
    running = less.model_copy(update={"status": Status.RUNNING})
    kept = lifecycle.retry_smaller(running, running, MemorySettings(None, True))
    assert (kept.tokens_at_once, kept.gradient_checkpointing, kept.memory_retries) == (512, True, 2)
    running = kept.model_copy(update={"status": Status.RUNNING})
    divided = lifecycle.retry_smaller(running, running, MemorySettings(256, True, sharding="fsdp"))
    assert divided.memory_settings == MemorySettings(256, True, sharding="fsdp")
    running = divided.model_copy(update={"status": Status.RUNNING})
    again = lifecycle.retry_smaller(running, running, MemorySettings(128, True))
    assert again.memory_settings == MemorySettings(128, True, sharding="fsdp")
    running = running.model_copy(update={"kept_layers": 5})
    assert not lifecycle.retry_smaller(running, running, MemorySettings(128, True)).kept_layers
