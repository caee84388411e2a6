"""Fixtures that run the Python client against a real api, with an empty home folder."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import finetuned
import pytest
from finetuned.types import FineTuningJobEvent

from service.core import clock, ids
from service.jobs.evaluation.records import (
    Evaluations,
    EvaluationStatus,
    JobEvaluation,
    Phase,
)
from service.jobs.evaluation.results import store_results
from service.jobs.records import JobRecord, NewEvent, Status
from service.verdict.comparison import Comparison
from service.work.records import WorkError
from tests.clients.python.commands import Cli
from tests.conftest import BASE_MODEL, Api


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder: no configuration, no upload notes, no keys in the environment."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    variables = ("API_KEY", "BASE_URL", "PROFILE")
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", *(f"FINETUNED_{v}" for v in variables)):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
async def key(api: Api) -> str:
    """A member key of project acme."""
    return await api.key()


@pytest.fixture
async def client(api: Api, key: str) -> AsyncIterator[finetuned.AsyncClient]:
    """An asynchronous client."""
    async with finetuned.AsyncClient(api_key=key, base_url=api.base_url) as client:
        yield client


@pytest.fixture
def sync_client(api: Api, key: str) -> Iterator[finetuned.Client]:
    """A synchronous client. Call it in a thread, because the api runs in this event loop."""
    with finetuned.Client(api_key=key, base_url=api.base_url) as client:
        yield client


@pytest.fixture
def env(api: Api, key: str) -> dict[str, str]:
    """Environment variables with a member key, and the width of a pipe in any terminal."""
    own = {"FINETUNED_API_KEY": key, "FINETUNED_BASE_URL": api.base_url, "COLUMNS": "80"}
    return os.environ | own


@pytest.fixture
def cli(env: dict[str, str], tmp_path: Path) -> Cli:
    """Commands of project acme, in the test's folder."""
    return Cli(env, tmp_path)


class Story:
    """A job in the real store whose events a test adds one by one."""

    def __init__(self, api: Api, job: JobRecord) -> None:
        self._jobs, self.job = api.app.state.jobs, job

    async def tell(self, *messages: str) -> None:
        await self._change({}, [NewEvent(message=m) for m in messages])

    async def step(self, step: int, total: int, loss: float) -> None:
        data = {"step": step, "total_steps": total, "train_loss": loss}
        text = f"Step {step}/{total}: training loss={loss}"
        await self._change({}, [NewEvent(message=text, type="metrics", data=data)])

    async def end(self, status: Status = Status.SUCCEEDED, **more: object) -> None:
        told = [NewEvent(message=f"The job has {status}")]
        await self._change({"status": status, "finished_at": clock.now_s(), **more}, told)

    async def _change(self, update: dict[str, object], events: list[NewEvent]) -> None:
        await self._jobs.change(
            self.job.project_id,
            self.job.id,
            lambda job: job.model_copy(update=update),
            events=lambda _: events,
        )


@pytest.fixture
async def story(api: Api, key: str) -> Story:
    """A running job of project acme."""
    project = await api.app.state.projects.by_name("acme")
    job = JobRecord(
        id=ids.new(ids.JOB),
        project_id=project.id,
        created_at=clock.now_s(),
        model=BASE_MODEL,
        project_name="acme",
        training_file="file-x",
        validation_file=None,
        suffix=None,
        seed=1,
        metadata=None,
        model_tag="tag",
        hyperparameters={},
        status=Status.RUNNING,
    )
    await api.app.state.jobs.create(job)
    return Story(api, job)


class Evaluating:
    """The evaluation of a job in the real store, which a test takes from phase to phase."""

    def __init__(self, api: Api, evaluation: JobEvaluation) -> None:
        self._store = Evaluations(api.app.state.redis)
        self._storage, self._redis = api.app.state.storage, api.app.state.redis
        self.evaluation = evaluation

    async def begin(self) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            self._store.add(pipe, self.evaluation)
            await pipe.execute()

    async def enter(self, phase: Phase, rows: int) -> None:
        update = {"phase": phase, "rows": rows}
        await self._store.change_own(
            self.evaluation, lambda current: current.model_copy(update=update)
        )

    async def complete(self, comparison: Comparison, gate: dict[str, str] | None = None) -> None:
        found = await store_results(self._storage, self.evaluation, comparison, gate or {})
        await self._end(
            EvaluationStatus.COMPLETED,
            verdict=found.verdict,
            figures=found.figures[comparison.model],
            gate=found.gate,
        )

    async def again(self, gate: dict[str, str], comparison: Comparison) -> None:
        """Run the evaluation again, with a gate of the job."""
        self.evaluation = await self._store.restart(self.evaluation)
        await self.complete(comparison, gate)

    async def end(self, status: EvaluationStatus, code: str, message: str) -> None:
        await self._end(status, error=WorkError(code=code, message=message))

    async def _end(self, status: EvaluationStatus, **fields: Any) -> None:
        await self._store.change_own(
            self.evaluation, lambda current: current.end(status, clock.now_s(), **fields)
        )


@pytest.fixture
def evaluating(api: Api, story: Story) -> Evaluating:
    """The evaluation of the job of `story`, not yet begun."""
    job = story.job
    made = JobEvaluation(
        id=job.id,
        project_id=job.project_id,
        created_at=clock.now_s(),
        model=f"ft:{BASE_MODEL}:acme::tag123",
        artifact=f"{job.project_id}/jobs/{job.id}/a1/adapter",
    )
    return Evaluating(api, made)


@pytest.fixture
def watched(client: finetuned.AsyncClient) -> Callable[..., asyncio.Task[list[FineTuningJobEvent]]]:
    """Watch a job to its end in the background."""

    async def watch(job_id: str, by: finetuned.AsyncClient) -> list[FineTuningJobEvent]:
        return [event async for event in by.fine_tuning.jobs.watch(job_id)]

    def start(
        job_id: str, by: finetuned.AsyncClient | None = None
    ) -> asyncio.Task[list[FineTuningJobEvent]]:
        return asyncio.create_task(watch(job_id, by or client))

    return start
