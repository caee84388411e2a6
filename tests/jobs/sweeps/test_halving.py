"""Tests of successive halving: which trials train on, from the state of their jobs alone."""

from __future__ import annotations

from typing import Any

import pytest

from service.jobs.records import JobRecord, Status
from service.jobs.sweeps.halving import RUNGS, SweepEnded, cancel, decide, first_rungs
from service.jobs.sweeps.records import SweepRecord, SweepStatus, Trial
from tests.jobs.test_lifecycle import job

NOW = 1_800_000_000


def sweep(*values: dict[str, Any]) -> SweepRecord:
    """A new sweep whose trials are "a", "b" and so on."""
    trials = [
        Trial(job_id="abcdefgh"[at], hyperparameters=chosen) for at, chosen in enumerate(values)
    ]
    return SweepRecord(
        id="ftsweep-s",
        project_id="proj_a",
        created_at=NOW,
        model="m",
        method="supervised",
        training_file="file-a",
        validation_file="file-b",
        suffix=None,
        seed=1,
        metadata=None,
        stop_losers=True,
        trials=first_rungs(trials),
    )


def rates(count: int) -> SweepRecord:
    return sweep(*({"learning_rate": rate} for rate in range(1, count + 1)))


def waiting(loss: float | None, rung: float = RUNGS[0]) -> JobRecord:
    return job(Status.PAUSED, waits_for_sweep=True, pause_after=rung, held_out_loss=loss)


def ended(status: Status, loss: float | None = None) -> JobRecord:
    return job(status, pause_after=RUNGS[0], held_out_loss=loss)


def decided(record: SweepRecord, **jobs: JobRecord) -> SweepRecord:
    named = {name: one.model_copy(update={"id": name}) for name, one in jobs.items()}
    return decide(record, named, NOW)


def points(record: SweepRecord) -> list[object]:
    return ["stopped" if trial.stopped else trial.pause_after for trial in record.trials]


def test_nothing_is_decided_until_all_trials_wait():
    record = rates(3)
    running = job(Status.RUNNING, pause_after=RUNGS[0], held_out_loss=9.0)
    assert decided(record, a=waiting(1.0), b=waiting(2.0), c=running) == record


def test_a_trial_that_a_user_paused_is_waited_for():
    record = rates(2)
    paused = job(Status.PAUSED, pause_after=RUNGS[0], held_out_loss=9.0)
    assert decided(record, a=waiting(1.0), b=paused) == record


def test_the_worse_half_is_stopped_at_each_rung_with_both_losses():
    jobs = {"a": waiting(4.0), "b": waiting(1.71), "c": waiting(3.0), "d": waiting(1.93)}
    first = decided(rates(4), **jobs)
    assert points(first) == ["stopped", RUNGS[1], "stopped", RUNGS[1]]
    assert first.trials[0].stopped == (
        "Stopped by the sweep ftsweep-s: held-out loss 4.0000 > 1.9300 after a third of the "
        "training"
    )
    second = decided(
        first,
        a=ended(Status.CANCELLED, 4.0),
        b=waiting(1.6, RUNGS[1]),
        c=ended(Status.CANCELLED, 3.0),
        d=waiting(1.5, RUNGS[1]),
    )
    assert points(second) == ["stopped", "stopped", "stopped", None]


def test_of_an_odd_number_the_larger_half_trains_on():
    found = decided(rates(3), a=waiting(3.0), b=waiting(2.0), c=waiting(1.0))
    assert points(found) == ["stopped", RUNGS[1], RUNGS[1]]


def test_a_decision_is_not_made_twice_from_what_was_read_before_it():
    jobs = {"a": waiting(4.0), "b": waiting(1.0), "c": waiting(3.0), "d": waiting(2.0)}
    once = decided(rates(4), **jobs)
    assert decided(once, **jobs) == once


def test_half_done_decisions_are_not_made_again():
    """One loser is cancelled, the other not yet, when another process continues."""
    jobs = {"a": waiting(4.0), "b": waiting(1.0), "c": waiting(3.0), "d": waiting(2.0)}
    once = decided(rates(4), **jobs)
    jobs["a"] = ended(Status.CANCELLED, 4.0)
    jobs["d"] = job(Status.QUEUED, pause_after=RUNGS[1], held_out_loss=2.0)
    assert decided(once, **jobs) == once


def test_trials_with_other_numbers_of_epochs_are_not_compared():
    record = sweep(*({"n_epochs": n, "learning_rate": rate} for n in (1, 3) for rate in (1, 2)))
    found = decided(record, a=waiting(4.0), b=waiting(5.0), c=waiting(1.0), d=waiting(2.0))
    assert points(found) == [None, "stopped", None, "stopped"]


def test_a_trial_with_nothing_to_compare_it_with_does_not_wait():
    assert points(sweep({"n_epochs": 1}, {"n_epochs": 2})) == [None, None]


def test_failed_and_cancelled_trials_do_not_compete():
    found = decided(
        rates(4),
        a=ended(Status.FAILED),
        b=ended(Status.CANCELLED, 0.1),
        c=waiting(2.0),
        d=waiting(1.0),
    )
    assert points(found)[2:] == ["stopped", None]


def test_a_trial_that_ended_early_competes():
    found = decided(rates(3), a=ended(Status.SUCCEEDED, 1.0), b=waiting(2.0), c=waiting(3.0))
    assert points(found)[1:] == [None, "stopped"]


def test_a_trial_whose_loss_is_unknown_is_kept():
    found = decided(rates(3), a=waiting(None), b=waiting(2.0), c=waiting(1.0))
    assert points(found) == [RUNGS[1], "stopped", RUNGS[1]]


def test_the_best_trial_is_the_one_with_the_lowest_loss():
    found = decided(
        rates(3),
        a=ended(Status.SUCCEEDED, 2.0),
        b=ended(Status.SUCCEEDED, 1.0),
        c=ended(Status.CANCELLED, 0.5),
    )
    assert (found.status, found.best_job, found.finished_at) == (SweepStatus.SUCCEEDED, "b", NOW)
    assert decided(found, a=waiting(1.0)) == found


def test_a_sweep_without_success_fails():
    found = decided(rates(2), a=ended(Status.FAILED), b=ended(Status.CANCELLED))
    assert (found.status, found.best_job) == (SweepStatus.FAILED, None)


def test_a_cancelled_sweep_decides_nothing_and_ends_with_its_jobs():
    record = cancel(rates(2))
    assert decided(record, a=waiting(1.0), b=waiting(2.0)) == record
    over = decided(record, a=ended(Status.CANCELLED), b=ended(Status.CANCELLED))
    assert over.status is SweepStatus.CANCELLED
    assert (cancel(record), cancel(over)) == (record, over)
    ended_by_itself = decided(rates(2), a=ended(Status.FAILED), b=ended(Status.SUCCEEDED, 1.0))
    with pytest.raises(SweepEnded):
        cancel(ended_by_itself)
