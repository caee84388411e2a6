"""Jobs whose metrics are sent to an MLflow server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from service.config import Settings
from service.core import clock
from service.core.leases import Leases
from service.core.redis import Client
from service.jobs import lifecycle
from service.jobs.records import EventRecord, JobFailure, JobRecord, Jobs, NewEvent, Status
from service.jobs.tracking.records import DUE, MlflowRun
from service.jobs.tracking.tracker import Tracker
from service.training.contract.protocol import StepDone
from tests.jobs.running import running_job
from tests.jobs.tracking.server import MlflowServer, mlflow_server

TOKEN = "the-operators-token"
ROW_TEXT = "a row of the training file"
STEPS = 120


@pytest.fixture
async def server() -> AsyncIterator[MlflowServer]:
    """An MLflow server."""
    async with mlflow_server() as server:
        yield server


@pytest.fixture
def settings(settings: Settings, server: MlflowServer) -> Settings:
    """Settings that allow the server."""
    return settings.model_copy(
        update={
            "mlflow_tracking_uris": (server.url,),
            "mlflow_tracking_token": SecretStr(TOKEN),
        }
    )


def step(number: int) -> NewEvent:
    """Return the event of a step, as an attempt writes it."""
    done = StepDone(
        step=number,
        total_steps=STEPS,
        train_loss=2.5 - number / 100,
        train_mean_token_accuracy=0.5,
        valid_loss=1.5 if number == STEPS else None,
        learning_rate=1e-4,
        tokens_per_second=1000.5,
        trained_tokens=64 * number,
    )
    return NewEvent(
        message=f"Step {number}: {ROW_TEXT}",
        type="metrics",
        data=done.model_dump(exclude={"type"}, exclude_none=True),
    )


@dataclass
class Site:
    """A running job with an MLflow run, on an empty Valkey, and the loop that sends its metrics."""

    jobs: Jobs
    settings: Settings
    job: JobRecord

    def tracker(self, worker: str = "me") -> Tracker:
        """Return the loop of a worker."""
        return Tracker(self.jobs, Leases(self.redis, worker, lease_s=10), self.settings)

    @property
    def redis(self) -> Client:
        """The Valkey."""
        return self.jobs.redis

    async def train(self, first: int, last: int) -> None:
        """Add the events of some steps."""
        await self._change(lambda job: job, *map(step, range(first, last + 1)))

    async def end(self, status: Status = Status.SUCCEEDED) -> None:
        """End the job."""
        now_s = clock.now_s()
        failure = JobFailure(code="internal_error", message=ROW_TEXT)
        ends = {
            Status.SUCCEEDED: lambda job: lifecycle.succeed(
                job, job, model="ft:acme", result_files=(), trained_tokens=1, now_s=now_s
            ),
            Status.FAILED: lambda job: lifecycle.fail(job, job, failure, now_s),
            Status.CANCELLED: lambda job: lifecycle.cancel(job, now_s),
        }
        await self._change(ends[status], NewEvent(message=ROW_TEXT))

    async def _change(self, change: Any, *events: NewEvent) -> None:
        await self.jobs.change(
            self.job.project_id, self.job.id, change, events=lambda _: list(events)
        )

    async def turn(self) -> None:
        """Send what is new, as if the time of the next look had come."""
        for member in await self.redis.zrange(DUE, 0, -1):
            await self.redis.zadd(DUE, {member: 0})
        await self.tracker().once()

    async def current(self) -> JobRecord:
        """Return the job."""
        job = await self.jobs.get(self.job.project_id, self.job.id)
        assert job is not None
        return job

    async def events(self, level: str) -> list[EventRecord]:
        """Return the job's messages of a level."""
        events = await self.jobs.events_after(self.job.project_id, self.job.id, None, 1000)
        return [event for event in events if event.level == level and event.type == "message"]

    async def left(self) -> list[bytes]:
        """Return the keys of the run, of which none is left when it has everything."""
        return [key for key in await self.redis.keys("*") if b"tracked-runs" in key]


@pytest.fixture
async def site(redis: Client, settings: Settings) -> Site:
    """A job that has started."""
    jobs = Jobs(redis)
    wanted = MlflowRun(
        tracking_uri=settings.mlflow_tracking_uris[0],
        experiment_name="Support & answers",
        run_name="first",
        tags={"team": "support"},
    )
    job = running_job("proj_a").model_copy(
        update={"mlflow_run": wanted, "started_at": 1_800_000_000}
    )
    return Site(jobs, settings, await jobs.create(job, NewEvent(message=ROW_TEXT)))
