"""Successive halving: which trials of a sweep train on, and which are stopped.

Trials train up to a rung and wait there. Once all trials of a group have reached it, the better
half continues to the next rung, and the rest are stopped. So decisions depend only on the losses,
not on the number of workers or the order of the trials.

A group has the trials with the same number of epochs: these have seen the same rows, at the same
point of the schedule of the learning rate. A shorter training would otherwise look worse at a third
of its steps than a longer one.

`decide` is pure. Any process may call `advance` at any time, and several may do so at once: a
decision is stored in the sweep's record before the jobs are changed, so a process that continues
after another one died finds it there.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from service.core import clock
from service.core.records import Missing
from service.jobs import lifecycle
from service.jobs.records import JobRecord, NewEvent, Status
from service.jobs.sweeps.records import SweepRecord, Sweeps, SweepStatus, Trial
from service.work.records import AttemptSuperseded

# Shares of the steps. Trainings store three checkpoints, so trials wait at the first two of them.
RUNGS: Final = (1 / 3, 2 / 3)
_WORDS: Final = {RUNGS[0]: "a third", RUNGS[1]: "two thirds"}
_CODE = "stopped_by_sweep"
_MAX_PASSES = 3  # decide, carry out, see that the sweep has ended


def groups(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Return the trials that are compared with each other at rungs, in groups."""
    found: dict[int, list[Trial]] = defaultdict(list)
    for trial in trials:
        found[trial.hyperparameters.get("n_epochs", 0)].append(trial)
    return list(found.values())


def first_rungs(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Let new trials wait at the first rung, unless there is nothing to compare them with."""
    waiting = {t.job_id for group in groups(trials) if len(group) > 1 for t in group}
    return tuple(
        t.model_copy(update={"pause_after": RUNGS[0]}) if t.job_id in waiting else t for t in trials
    )


class SweepEnded(Exception):
    """The sweep has ended, so it cannot be cancelled."""

    def __init__(self, record: SweepRecord) -> None:
        super().__init__(f"the sweep {record.id} is {record.status}")
        self.status = record.status


def cancel(record: SweepRecord) -> SweepRecord:
    """Begin to cancel the sweep, unless that was done before. Raises SweepEnded."""
    if record.status in (SweepStatus.CANCELLING, SweepStatus.CANCELLED):
        return record
    if record.status is not SweepStatus.RUNNING:
        raise SweepEnded(record)
    return record.model_copy(update={"status": SweepStatus.CANCELLING})


def decide(record: SweepRecord, jobs: Mapping[str, JobRecord], now_s: int) -> SweepRecord:
    """Return the sweep with all decisions that follow from the state of its jobs.

    If the jobs were read before an earlier decision, nothing changes.
    """
    if record.is_final:
        return record
    if record.status is SweepStatus.RUNNING:
        record = record.model_copy(update={"trials": _halve(record, jobs)})
    if all(jobs[trial.job_id].is_final for trial in record.trials):
        return _end(record, jobs, now_s)
    return record


def _halve(record: SweepRecord, jobs: Mapping[str, JobRecord]) -> tuple[Trial, ...]:
    decided: dict[str, Trial] = {}
    for group in groups(record.trials):
        decided |= {trial.job_id: trial for trial in _decide_group(record, group, jobs)}
    return tuple(decided[trial.job_id] for trial in record.trials)


def _decide_group(
    record: SweepRecord, group: Sequence[Trial], jobs: Mapping[str, JobRecord]
) -> Sequence[Trial]:
    going = [trial for trial in group if not jobs[trial.job_id].is_final]
    if not going or not all(_waits(trial, jobs[trial.job_id]) for trial in going):
        return group
    rung = going[0].pause_after
    # Trials that have ended by themselves, such as by early stopping, compete too.
    ended = [trial for trial in group if jobs[trial.job_id].status is Status.SUCCEEDED]
    ranked = sorted([*ended, *going], key=lambda trial: _loss(jobs[trial.job_id]))
    kept, losers = _split(ranked, jobs)
    bar = _loss(jobs[kept[-1].job_id])
    is_decided = len([trial for trial in kept if trial in going]) == 1
    after: dict[str, Trial] = {}
    for trial in going:
        if trial in losers:
            why = _reason(record, jobs[trial.job_id], bar, rung)
            after[trial.job_id] = trial.model_copy(update={"stopped": why})
        else:
            following = None if is_decided else _next_rung(rung)
            after[trial.job_id] = trial.model_copy(update={"pause_after": following})
    return [after.get(trial.job_id, trial) for trial in group]


def _waits(trial: Trial, job: JobRecord) -> bool:
    """Return whether the trial waits at a rung that is still undecided."""
    return (
        trial.stopped is None
        and trial.pause_after is not None
        and job.waits_for_sweep
        and job.pause_after == trial.pause_after
    )


def _split(
    ranked: Sequence[Trial], jobs: Mapping[str, JobRecord]
) -> tuple[Sequence[Trial], Sequence[Trial]]:
    """Split the trials into the better half and the rest. Trials without a loss are kept."""
    unknown = [trial for trial in ranked if jobs[trial.job_id].held_out_loss is None]
    known = [trial for trial in ranked if trial not in unknown]
    half = math.ceil(len(known) / 2)
    return [*unknown, *known[:half]], known[half:]


def _loss(job: JobRecord) -> float:
    return math.inf if job.held_out_loss is None else job.held_out_loss


def _next_rung(rung: float | None) -> float | None:
    return next((share for share in RUNGS if rung is not None and share > rung), None)


def _reason(record: SweepRecord, job: JobRecord, bar: float, rung: float | None) -> str:
    after = f" after {_WORDS[rung]} of the training" if rung in _WORDS else ""
    return f"Stopped by the sweep {record.id}: held-out loss {_loss(job):.4f} > {bar:.4f}{after}"


def _end(record: SweepRecord, jobs: Mapping[str, JobRecord], now_s: int) -> SweepRecord:
    done = [jobs[trial.job_id] for trial in record.trials]
    succeeded = [job for job in done if job.status is Status.SUCCEEDED]
    best = min(succeeded, key=_loss, default=None)
    status = SweepStatus.CANCELLED
    if record.status is SweepStatus.RUNNING:
        status = SweepStatus.FAILED if best is None else SweepStatus.SUCCEEDED
    return record.model_copy(
        update={
            "status": status,
            "best_job": None if best is None else best.id,
            "finished_at": now_s,
        }
    )


async def advance(sweeps: Sweeps, project_id: str, sweep_id: str) -> None:
    """Decide about the trials that wait, and continue or cancel their jobs."""
    record = await sweeps.get(project_id, sweep_id)
    for _ in range(_MAX_PASSES):
        if record is None or record.is_final:
            return
        jobs = {job.id: job for job in await sweeps.trials(record)}
        if len(jobs) < len(record.trials):
            return  # only a newer version can read some of them
        record = await _store_decision(sweeps, record, jobs)
        if not await _apply(sweeps, record, jobs):
            return


async def _store_decision(
    sweeps: Sweeps, record: SweepRecord, jobs: Mapping[str, JobRecord]
) -> SweepRecord:
    now_s = clock.now_s()
    if decide(record, jobs, now_s) == record:
        return record
    return await sweeps.change(record, lambda current: decide(current, jobs, now_s))


async def _apply(sweeps: Sweeps, record: SweepRecord, jobs: Mapping[str, JobRecord]) -> bool:
    """Carry out the decisions. Returns whether a job was changed."""
    is_changed = False
    for trial in record.trials:
        job = jobs[trial.job_id]
        if job.is_final:
            continue
        with contextlib.suppress(lifecycle.NotAllowed, AttemptSuperseded, Missing):
            if record.status is SweepStatus.CANCELLING:
                await _cancel(sweeps, job, f"The sweep {record.id} was cancelled")
            elif trial.stopped is not None:
                await _cancel(sweeps, job, trial.stopped)
            elif trial.pause_after != job.pause_after:
                await _continue(sweeps, job, trial)
            else:
                continue
            is_changed = True
    return is_changed


async def _cancel(sweeps: Sweeps, job: JobRecord, why: str) -> None:
    await sweeps.jobs.change(
        job.project_id,
        job.id,
        lambda current: lifecycle.cancel(current, clock.now_s()),
        events=lambda _: [NewEvent(message=why, data={"code": _CODE, "sweep": job.sweep})],
    )


async def _continue(sweeps: Sweeps, job: JobRecord, trial: Trial) -> None:
    await sweeps.jobs.change(
        job.project_id,
        job.id,
        lambda current: lifecycle.pass_rung(current, trial.pause_after, clock.now_s()),
        events=lambda _: [
            NewEvent(
                message="The trial continues: its held-out loss is low enough",
                data={"code": "trial_continues"},
            )
        ],
    )
