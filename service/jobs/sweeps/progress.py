"""The progress of a sweep: what is decided is stored, and then done to the jobs.

Any process may do this at any time, and several at once. A process that continues after another
one died finds the decision in the sweep's record, and what is left to do in the jobs' records.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from service.core import ids
from service.core.records import Missing
from service.jobs import lifecycle
from service.jobs.records import FINAL, JobRecord, NewEvent
from service.jobs.sweeps.halving import decide
from service.jobs.sweeps.records import SweepRecord, Sweeps, SweepStatus, Trial
from service.work.records import AttemptSuperseded

_CODE = "stopped_by_sweep"
_MOST_TURNS = 3  # decide and do, see that the sweep has ended


async def advance(sweeps: Sweeps, project_id: str, sweep_id: str) -> None:
    """Decide about the trials that wait, and continue or cancel their jobs."""
    record = await sweeps.get(project_id, sweep_id)
    for _ in range(_MOST_TURNS):
        if record is None or record.is_final:
            return
        jobs = {job.id: job for job in await sweeps.trials(record)}
        if len(jobs) < len(record.trials):
            return  # only a newer version can read some of them
        record = await _decided(sweeps, record, jobs)
        if not await _apply(sweeps, record, jobs):
            return


async def _decided(
    sweeps: Sweeps, record: SweepRecord, jobs: Mapping[str, JobRecord]
) -> SweepRecord:
    now_s = ids.now_s()
    if decide(record, jobs, now_s) == record:
        return record
    return await sweeps.change(record, lambda current: decide(current, jobs, now_s))


async def _apply(sweeps: Sweeps, record: SweepRecord, jobs: Mapping[str, JobRecord]) -> bool:
    """Carry out the decisions. Returns whether a job was changed."""
    is_changed = False
    for trial in record.trials:
        job = jobs[trial.job_id]
        if job.status in FINAL:
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
        lambda current: lifecycle.cancel(current, ids.now_s()),
        events=lambda _: [NewEvent(message=why, data={"code": _CODE, "sweep": job.sweep})],
    )


async def _continue(sweeps: Sweeps, job: JobRecord, trial: Trial) -> None:
    await sweeps.jobs.change(
        job.project_id,
        job.id,
        lambda current: lifecycle.pass_rung(current, trial.pause_after, ids.now_s()),
        events=lambda _: [NewEvent(message="The trial continues: its held-out loss is low enough")],
    )
