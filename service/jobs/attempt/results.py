"""The result file of a job: a CSV of its metrics by step."""

from __future__ import annotations

import csv
import hashlib
import io

from service.core import ids
from service.files.records import FileRecord, Files, FileStatus, Purpose
from service.jobs.records import JobRecord, Jobs

_PAGE = 1000
_COLUMNS = {
    "step": "step",
    "train_loss": "train_loss",
    "train_accuracy": "train_mean_token_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_mean_token_accuracy",
}
_REWARDS = {name: name for name in ("train_reward_mean", "valid_reward_mean")}


async def write_results(job: JobRecord, jobs: Jobs, files: Files) -> FileRecord:
    """Store the job's metrics as a file, or return that file if it already exists.

    The quota does not refuse it, because the job has its model already.
    """
    file_id = ids.FILE + job.id.removeprefix(ids.JOB)
    known = await files.records.get(job.project_id, file_id)
    if known is not None:
        return known
    data = (await _csv(job, jobs)).encode()
    record = FileRecord(
        id=file_id,
        project_id=job.project_id,
        created_at=ids.now_s(),
        filename="step_metrics.csv",
        purpose=Purpose.RESULTS,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        status=FileStatus.PROCESSED,
    )
    await files.begin(job.project_id, file_id)  # the job may be canceled before it is added
    await files.storage.put_bytes(record.content_key, data, is_limited=False)
    return await files.add(record)


async def _csv(job: JobRecord, jobs: Jobs) -> str:
    rows: dict[int, dict[str, object]] = {}
    cursor: str | None = None
    while events := await jobs.events_after(job.project_id, job.id, cursor, _PAGE):
        cursor = events[-1].id
        # If a step was trained again after a recovery, its latest metrics count.
        rows |= {int(e.data["step"]): e.data for e in events if e.type == "metrics"}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = _COLUMNS if job.grader is None else _COLUMNS | _REWARDS
    writer.writerow(columns)
    for step in sorted(rows):
        writer.writerow([rows[step].get(name, "") for name in columns.values()])
    return out.getvalue()
