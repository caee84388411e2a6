"""Tests of the worker's part in reinforcement, against an engine that follows a script."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import TypeAdapter

from service.config import Settings
from service.core.child import Child
from service.core.redis import Client
from service.core.storage import Storage
from service.files.records import Files
from service.grading.model_graders import GraderTools, JudgeFailed
from service.grading.sandbox.sandbox import Sandbox
from service.grading.schemas import Grader
from service.inference.background.calls import PRIORITY
from service.inference.upstreams import Upstreams
from service.jobs import checkpoints as job_leftovers
from service.jobs import lifecycle
from service.jobs.attempt.recorder import AttemptRecorder
from service.jobs.attempt.reinforcement.policy import Policy, remove_rounds, round_leftovers
from service.jobs.attempt.reinforcement.rounds import Rewards, Rounds, Rows
from service.jobs.attempt.reinforcement.sampling import EngineSampler, SamplingFailed
from service.jobs.records import JobRecord, Jobs, Status
from service.models.catalogue import Catalogue
from service.models.registry import ModelRegistry
from service.standalone.services import free_port
from service.training.contract.protocol import SamplesCommand, SamplesWanted
from service.training.contract.samples import (
    Answer,
    SampleRequest,
    read_answers,
    write_lines,
)
from service.work.records import AttemptSuperseded
from tests.http_server import http_server
from tests.jobs.test_fair_share import job as queued_job

BASE = "tiny-base"
EQUAL = {
    "type": "string_check",
    "name": "equal",
    "operation": "eq",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
}
# Repeats the first line that it reads, and waits for the end of its input.
TRAINER = "import sys; print(sys.stdin.readline(), end='', flush=True); sys.stdin.read()"


class Engine:
    """An HTTP server that completes prompts in tokens: the answer is the number of the sample."""

    def __init__(self) -> None:
        self.url = ""
        self.refusals: list[int] = []
        self.hangs = asyncio.Event()
        self.asked: list[dict[str, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/health":
            return web.Response()
        asked = await request.json()
        self.asked.append(asked)
        if self.hangs.is_set():
            await asyncio.Event().wait()
        if self.refusals:
            return web.json_response({"error": {"code": "x"}}, status=self.refusals.pop(0))
        choices = [
            {
                "index": index,
                "text": str(asked["seed"] + index),
                "token_ids": [asked["seed"] + index, 2],
                "logprobs": {"token_logprobs": [-0.5, None]},
                "finish_reason": "stop",
            }
            for index in range(asked["n"])
        ]
        return web.json_response({"choices": choices})


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = Engine()
    async with http_server(made.answer) as made.url:
        yield made


@pytest.fixture
async def upstreams(engine: Engine) -> AsyncIterator[Upstreams]:
    async with Upstreams({BASE: [engine.url]}, api_key="inner") as opened:
        yield opened


@pytest.fixture
def jobs(redis: Client) -> Jobs:
    return Jobs(redis)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return Storage.from_url(settings.storage_url, patience_s=1)


@pytest.fixture
async def job(jobs: Jobs) -> JobRecord:
    made = queued_job("a1").model_copy(update={"model": BASE, "id": "ftjob-a1"})
    record = await jobs.create(made)
    return await jobs.change(
        record.project_id, record.id, lambda found: lifecycle.start(found, 1, 1)
    )


@pytest.fixture
def registry(jobs: Jobs, settings: Settings) -> ModelRegistry:
    return ModelRegistry(jobs.redis, Catalogue(settings.models_file), cache_s=0)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors", "optimizer.bin"):
        (folder / name).write_text(name)
    return folder


def request(row: int = 0, **fields: Any) -> SampleRequest:
    given = {"n": 2, "seed": 7, "temperature": 1.0, "max_tokens": 4} | fields
    return SampleRequest(row=row, file="training", prompt_token_ids=[1, 5], **given)


def sampler(upstreams: Upstreams, *, patience_s: float = 60, told: Any = None) -> EngineSampler:
    async def on_wait(reason: str) -> None:
        if told is not None:
            told.append(reason)

    return EngineSampler(
        upstreams, BASE, salt="salt", concurrency=64, patience_s=patience_s, on_wait=on_wait
    )


async def no_judge(*_: Any, **__: Any) -> Any:
    raise JudgeFailed("model_grader_server_error", "There is none.")


def rewards(folder: Path, grader: dict[str, Any], *items: dict[str, Any]) -> Rewards:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"messages": [], "item": i}) + "\n" for i in items))
    parsed: Grader = TypeAdapter(Grader).validate_python(grader)
    return Rewards(parsed, Rows({"training": path}), lambda: GraderTools(no_judge, Sandbox()))


async def test_an_adapter_is_for_the_worker_alone_and_leaves_nothing(
    job, jobs, storage, registry, adapter
):
    policy = Policy(job, jobs.redis, storage)
    assert await policy.publish(None) == BASE
    names = [await policy.publish(adapter), await policy.publish(adapter)]
    assert len(set(names)) == 2
    first, found = [await registry.resolve_adapter(name) for name in names]
    assert first is None  # of the round before
    assert found is not None
    assert found.base_model == BASE
    manifest = await storage.manifest(found.artifact)
    assert {file.path for file in manifest.files} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert manifest.digest == found.digest
    # No request of a user finds it, not even of the same project, and no list has it.
    assert await registry.resolve(job.project_id, names[1]) is None
    assert (await registry.models.page(job.project_id)).items == []

    keys = await storage.keys(f"{job.project_id}/jobs/{job.id}")
    assert all(job_leftovers.folder_of(key) for key in keys)
    await remove_rounds(jobs, storage, 2**40)  # the attempt still runs
    assert await storage.keys(f"{job.project_id}/jobs/{job.id}") == keys
    await policy.close()
    assert await registry.resolve_adapter(names[1]) is None
    assert await storage.keys(f"{job.project_id}/jobs/{job.id}") == []
    assert await round_leftovers(jobs.redis).due(2**40) == []


async def test_what_a_dead_attempt_published_is_removed(job, jobs, storage, adapter):
    await Policy(job, jobs.redis, storage).publish(adapter)
    await jobs.change(job.project_id, job.id, lambda found: lifecycle.lose(found, found, 3, 2))
    await remove_rounds(jobs, storage, 2**40)
    assert await storage.keys(f"{job.project_id}/jobs/{job.id}") == []
    assert await round_leftovers(jobs.redis).due(2**40) == []


async def test_answers_come_in_parts_behind_users(engine, upstreams):
    answers = await sampler(upstreams).sample("draft:x", [request(n=11), request(row=1)])
    assert [(a.row, a.index) for a in answers] == [(0, i) for i in range(11)] + [(1, 0), (1, 1)]
    assert [a.text for a in answers[:11]] == [str(7 + i) for i in range(11)]  # no seed twice
    assert (answers[0].token_ids, answers[0].logprobs) == ([7, 2], [-0.5, None])
    assert sorted(asked["n"] for asked in engine.asked) == [2, 3, 8]
    (asked, *_) = engine.asked
    assert asked["priority"] == PRIORITY
    assert asked["cache_salt"] == "salt"
    assert asked["prompt"] == [1, 5]
    assert (asked["top_k"], asked["repetition_penalty"]) == (0, 1.0)


async def test_an_engine_that_is_away_for_a_moment_is_waited_for(engine, upstreams):
    engine.refusals = [503, 500]
    told: list[str] = []
    answers = await sampler(upstreams, told=told).sample(BASE, [request()])
    assert len(answers) == 2
    assert told == ["it answered 503"]


async def test_an_engine_that_stays_away_ends_the_sampling():
    async with Upstreams({BASE: [f"http://127.0.0.1:{free_port()}"]}) as none:
        with pytest.raises(SamplingFailed, match="still no answer") as failed:
            await sampler(none, patience_s=0).sample(BASE, [request()])
    assert failed.value.code == "engine_unavailable"


def answer(text: str, row: int = 0, index: int = 0) -> Answer:
    return Answer(
        row=row, file="training", index=index, token_ids=[1], text=text, finish_reason="stop"
    )


async def test_a_grader_sees_the_answer_without_its_thought(tmp_path):
    said = ["東京", "<think>東京?</think>\n\n東京", "hm</think>東京", "<think>東京", "Kyoto"]
    graded = await rewards(tmp_path, EQUAL, {"answer": "東京"}).grade(
        [answer(text, index=at) for at, text in enumerate(said)]
    )
    assert [a.reward for a in graded.answers] == [1, 1, 1, 0, 0]
    assert not graded.errors


async def test_a_grader_that_fails_gives_no_reward(tmp_path):
    graded = await rewards(tmp_path, EQUAL, {"other": "x"}, {"answer": "y"}).grade(
        [answer("y"), answer("y", row=1)]
    )
    assert [a.reward for a in graded.answers] == [None, 1]
    assert graded.errors == {"invalid_variable_error": 1}
    assert graded.answers[0].grader_error == "invalid_variable_error"
    assert not graded.all_failed


class Told:
    """What rounds tell the owner of the job."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.failures: list[Any] = []

    async def warn(self, message: str, _data: Any) -> None:
        self.warnings.append(message)

    async def fail(self, failure: Any) -> None:
        self.failures.append(failure)


async def start(folder: Path) -> Child:
    return await Child.start([sys.executable, "-c", TRAINER], env={}, stderr=folder / "err")


async def test_a_round_is_answered_with_rewards(
    tmp_path, job, jobs, storage, registry, adapter, engine, upstreams
):
    told, policy = Told(), Policy(job, jobs.redis, storage)
    graded = rewards(tmp_path, EQUAL, {"answer": "8"}, {"b": "8"})
    rounds = Rounds(policy, sampler(upstreams), graded, Sandbox(), warn=told.warn, fail=told.fail)
    asked, path = [request(), request(row=1)], tmp_path / "requests"
    write_lines(path, asked)
    wanted = SamplesWanted(
        round=3, purpose="training", adapter_path=str(adapter), requests_path=str(path)
    )
    child = await start(tmp_path)
    async with rounds.answer(child):
        rounds.begin(wanted)
        line = await anext(aiter(child.lines()))
        answered = SamplesCommand.model_validate_json(line)
        (name,) = {one["model"] for one in engine.asked}
        assert await registry.resolve_adapter(name) is not None
    await child.kill()
    assert (answered.round, answered.purpose) == (3, "training")
    own, other = read_answers(Path(answered.path), asked, vocabulary=100)
    assert [a.reward for a in own] == [0, 1]  # the answers are 7 and 8
    assert [a.reward for a in other] == [None, None]
    (warning,) = told.warnings
    assert "failed on 2 of 4 answers (invalid_variable_error: 2)" in warning
    assert await storage.keys(f"{job.project_id}/jobs/{job.id}") == []


async def test_a_training_whose_answers_cannot_be_graded_fails(
    tmp_path, job, jobs, storage, upstreams
):
    """Also if the trainer sampled the answers."""
    told = Told()
    policy, graded = Policy(job, jobs.redis, storage), rewards(tmp_path, EQUAL, {"b": 1})
    rounds = Rounds(policy, None, graded, Sandbox(), warn=told.warn, fail=told.fail)
    requests, samples = tmp_path / "requests", tmp_path / "samples"
    write_lines(requests, [request()])
    write_lines(samples, [answer("a"), answer("b", index=1)])
    wanted = SamplesWanted(
        round=0, purpose="training", requests_path=str(requests), samples_path=str(samples)
    )
    child = await start(tmp_path)
    async with rounds.answer(child):
        rounds.begin(wanted)
        assert [line async for line in child.lines()] == []
        assert await child.wait() < 0
    assert rounds.has_failed
    (failure,) = told.failures
    assert (failure.code, failure.param) == ("grading_failed", "method.reinforcement.grader")
    assert "invalid_variable_error: 2" in failure.message


async def test_a_round_that_is_interrupted_leaves_nothing(
    tmp_path, job, jobs, storage, adapter, engine, upstreams
):
    engine.hangs.set()
    told, policy = Told(), Policy(job, jobs.redis, storage)
    graded = rewards(tmp_path, EQUAL, {"answer": "8"})
    rounds = Rounds(policy, sampler(upstreams), graded, Sandbox(), warn=told.warn, fail=told.fail)
    path = tmp_path / "requests"
    write_lines(path, [request()])
    child = await start(tmp_path)
    async with rounds.answer(child):
        rounds.begin(
            SamplesWanted(
                round=1, purpose="training", adapter_path=str(adapter), requests_path=str(path)
            )
        )
        async with asyncio.timeout(60):
            while not engine.asked:
                await asyncio.sleep(0.01)
        await child.kill()
    assert not told.failures
    assert await storage.keys(f"{job.project_id}/jobs/{job.id}") == []
    assert await round_leftovers(jobs.redis).due(2**40) == []


async def test_a_round_that_loses_its_job_says_so(tmp_path, job, jobs, storage, registry):
    """The error reaches the attempt, which has been superseded."""
    recorder = AttemptRecorder(
        job,
        jobs=jobs,
        files=Files(jobs.redis, storage),
        registry=registry,
        device_name="test",
    )
    await jobs.change(job.project_id, job.id, lambda found: lifecycle.lose(found, found, 3, 2))
    told = Told()
    policy, graded = Policy(job, jobs.redis, storage), rewards(tmp_path, EQUAL, {"b": 1})
    rounds = Rounds(policy, None, graded, Sandbox(), warn=told.warn, fail=recorder.fail)
    requests, samples = tmp_path / "requests", tmp_path / "samples"
    write_lines(requests, [request(n=1)])
    write_lines(samples, [answer("a")])
    child = await start(tmp_path)
    wanted = SamplesWanted(
        round=0, purpose="training", requests_path=str(requests), samples_path=str(samples)
    )

    async def run() -> None:
        async with rounds.answer(child):
            rounds.begin(wanted)
            await child.wait()

    with pytest.raises(AttemptSuperseded):
        await run()
    current = await jobs.get(job.project_id, job.id)
    assert current is not None
    assert current.status is Status.QUEUED
