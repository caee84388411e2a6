"""Redis records of tracked runs: which metrics of a job its MLflow run has received.

    finetuned:{project}:tracked-runs:{job}    what was sent so far
    finetuned:tracked-runs-due                "project/job", by the time of the next look

Both are written with the job, and removed when the run has received everything.
"""

from __future__ import annotations

from pydantic import Field
from redis.asyncio.client import Pipeline

from service.core import clock
from service.core.records import PREFIX, Collection, Record, Stored
from service.core.redis import Client, text

DUE = f"{PREFIX}:tracked-runs-due"


class MlflowRun(Stored):
    """The MLflow run of a job. Its ID is known once the server has created it."""

    tracking_uri: str
    experiment_name: str
    run_name: str
    tags: dict[str, str] = Field(default_factory=dict)
    run_id: str | None = None


class TrackedRun(Record):
    """What the MLflow run of an unfinished or recent job has received. It has the job's ID."""

    has_parameters: bool = False
    cursor: str | None = None  # the newest event whose metrics the run has
    failures: int = 0  # in a row
    reported: tuple[str, ...] = ()  # problems that the job's events mention


class RunSuperseded(Exception):
    """Another worker has written the record since it was read."""


class TrackedRuns:
    """The tracked runs of all projects that have not received everything yet."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.records = Collection(redis, "tracked-runs", TrackedRun)

    def add(self, pipe: Pipeline, project_id: str, job_id: str, created_at: int) -> None:
        """Add to a transaction the run of a new job, due now."""
        self.records.add(pipe, TrackedRun(id=job_id, project_id=project_id, created_at=created_at))
        pipe.zadd(DUE, {_member(project_id, job_id): clock.now()})

    async def due(self, limit: int) -> list[tuple[str, str]]:
        """Return the (project, job) IDs of runs to look at now, longest overdue first."""
        members = await self.redis.zrangebyscore(DUE, "-inf", clock.now(), start=0, num=limit)
        pairs = (text(member).split("/", 1) for member in members)
        return [(project_id, job_id) for project_id, job_id in pairs]

    async def is_unfinished(self, project_id: str, job_id: str) -> bool:
        """Return whether the job has a run that has not received everything yet."""
        return await self.redis.zscore(DUE, _member(project_id, job_id)) is not None

    async def postpone(self, project_id: str, job_id: str, delay_s: float) -> None:
        """Set when to look at the run again."""
        due_at = clock.now() + delay_s
        await self.redis.zadd(DUE, {_member(project_id, job_id): due_at}, xx=True)

    async def replace(self, before: TrackedRun, after: TrackedRun) -> TrackedRun:
        """Replace a record. Raises Missing, or RunSuperseded if `before` is no longer stored."""

        def change(current: TrackedRun) -> TrackedRun:
            if current != before:
                raise RunSuperseded
            return after

        return await self.records.update(before.project_id, before.id, change)

    async def remove(self, project_id: str, job_id: str) -> None:
        """Remove a run that has received everything, or never will."""
        member = _member(project_id, job_id)
        await self.records.delete(project_id, job_id, also=lambda pipe: pipe.zrem(DUE, member))


def _member(project_id: str, job_id: str) -> str:
    return f"{project_id}/{job_id}"
