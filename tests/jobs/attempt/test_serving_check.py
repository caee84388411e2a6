"""Tests of the comparison with an engine whose adapter is correct, wrong or missing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from service.config import Settings
from service.core.redis import Client
from service.core.storage import Storage
from service.files.records import Files
from service.inference.upstreams import Upstreams
from service.jobs import lifecycle
from service.jobs.attempt.recorder import AttemptRecorder
from service.jobs.attempt.serving_check import (
    NotServed,
    Parity,
    ServingCheck,
    ask_both,
    ask_engine,
    compare,
)
from service.jobs.engine_requests import EngineAway
from service.jobs.records import JobRecord, Jobs, Status
from service.models.catalogue import Catalogue
from service.models.registry import ModelRegistry
from service.standalone.services import free_port
from service.training.contract.protocol import Probe, Succeeded
from tests.http_server import http_server
from tests.jobs.test_fair_share import job

BASE = "tiny-base"
ADAPTER = f"ft:{BASE}:acme::tag:ckpt-step-3"
PROBES = (
    Probe(tokens=[5, 6, 7], places=[1, 2], tuned=[-1.0, -1.5], base=[-3.0, -3.5]),
    Probe(tokens=[8, 9], places=[1], tuned=[-0.5], base=[-2.0]),
)
DONE = Succeeded(adapter_path="/a", trained_tokens=1, final_step=3, probes=PROBES)


class Engine:
    """An HTTP server that scores prompts. Refusals are pairs of a status and an error code."""

    def __init__(self) -> None:
        self.url = ""
        self.refusals: dict[str, list[tuple[int, str]]] = {"base": [], "adapter": []}
        self.always: dict[str, tuple[int, str]] = {}
        self.scores = {"base": -3.0, "adapter": -1.0}
        self.without_logprobs: set[str] = set()
        self.dies_of = ""
        self.seen: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/health":
            return web.Response()
        asked = await request.json()
        kind = "base" if asked["model"] == BASE else "adapter"
        self.seen.append(kind)
        if kind == self.dies_of:
            self.always = dict.fromkeys(("base", "adapter"), (500, "internal_error"))
        turns = self.refusals[kind]
        refusal = turns.pop(0) if turns else self.always.get(kind)
        if refusal is not None:
            status, code = refusal
            error = {"message": "secret prompt", "code": code}
            return web.json_response({"error": error}, status=status)
        tokens = asked["prompt"]
        told = [None, *({str(t): {"logprob": self.scores[kind]}} for t in tokens[1:])]
        kept = {} if kind in self.without_logprobs else {"prompt_logprobs": told}
        return web.json_response({"choices": [{"text": "", **kept}]})


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = Engine()
    async with http_server(made.answer) as made.url:
        yield made


@pytest.fixture
async def upstreams(engine: Engine) -> AsyncIterator[Upstreams]:
    async with Upstreams({BASE: [engine.url]}, api_key="inner") as opened:
        yield opened


async def test_scores_are_by_probe_and_place(upstreams):
    tuned, base = await ask_both(upstreams, BASE, ADAPTER, PROBES)
    assert tuned == [[-1.0, -1.0], [-1.0]]
    assert base == [[-3.0, -3.0], [-3.0]]


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "model_not_loadable"), (404, "model_not_found"), (400, "bad"), (422, "bad")],
)
async def test_an_adapter_that_is_refused_beside_a_base_that_answers_is_not_served(
    engine, upstreams, status, code
):
    engine.always["adapter"] = (status, code)
    with pytest.raises(NotServed, match=rf"it answered {status} \({code}\)"):
        await ask_both(upstreams, BASE, ADAPTER, PROBES)
    assert engine.seen.count("adapter") == 2


async def test_an_adapter_without_scores_is_not_served(engine, upstreams):
    engine.without_logprobs.add("adapter")
    with pytest.raises(NotServed, match="no prompt_logprobs"):
        await ask_both(upstreams, BASE, ADAPTER, PROBES)


async def test_one_refusal_alone_proves_nothing(engine, upstreams):
    engine.refusals["adapter"] = [(500, "internal_error")]
    tuned, _ = await ask_both(upstreams, BASE, ADAPTER, PROBES)
    assert tuned == [[-1.0, -1.0], [-1.0]]


@pytest.mark.parametrize("status", [401, 429, 502, 503, 504])
async def test_statuses_that_say_nothing_of_the_model_are_an_engine_that_is_away(
    engine, upstreams, status
):
    engine.always["adapter"] = (status, "x")
    with pytest.raises(EngineAway, match=str(status)):
        await ask_both(upstreams, BASE, ADAPTER, PROBES)


async def test_an_engine_that_refuses_the_base_too_is_away(engine, upstreams):
    engine.always["base"] = engine.always["adapter"] = (500, "internal_error")
    with pytest.raises(EngineAway, match="it answered 500"):
        await ask_both(upstreams, BASE, ADAPTER, PROBES)


async def test_an_engine_that_dies_of_a_request_is_away(engine, upstreams):
    engine.dies_of = "adapter"
    with pytest.raises(EngineAway, match="it answered 500"):
        await ask_both(upstreams, BASE, ADAPTER, PROBES)


@pytest.fixture
def jobs(redis: Client) -> Jobs:
    return Jobs(redis)


@pytest.fixture
async def recorder(jobs: Jobs, settings: Settings) -> AttemptRecorder:
    storage = Storage.from_url(settings.storage_url, patience_s=1)
    record = await jobs.create(job("a1").model_copy(update={"model": BASE}))
    return AttemptRecorder(
        await jobs.change(record.project_id, record.id, lambda found: lifecycle.start(found, 1, 1)),
        jobs=jobs,
        files=Files(jobs.redis, storage),
        registry=ModelRegistry(jobs.redis, Catalogue(settings.models_file), cache_s=0),
        device_name="test",
    )


@pytest.fixture
async def serving(recorder, engine, upstreams, settings) -> ServingCheck:
    served = settings.model_copy(update={"upstreams": {BASE: engine.url}})
    return ServingCheck(recorder.job, recorder, upstreams, served)


async def job_of(recorder: AttemptRecorder, jobs: Jobs) -> tuple[JobRecord, dict[str, Any]]:
    """Return the job's current state and the data of its last event."""
    job = await jobs.get(recorder.job.project_id, recorder.job.id)
    assert job is not None
    events, _ = await jobs.events_before(job.project_id, job.id, None, 1)
    return job, events[0].data


async def test_a_job_whose_adapter_the_engine_refuses_has_failed(engine, serving, recorder, jobs):
    engine.always["adapter"] = (500, "model_not_loadable")
    assert not await serving.passes(DONE)
    job, data = await job_of(recorder, jobs)
    assert job.error is not None
    assert (job.status, job.error.code) == (Status.FAILED, "serve_parity")
    assert "it answered 500 (model_not_loadable) for the model" in job.error.message
    assert "secret" not in json.dumps(data) + job.error.message


async def test_a_job_whose_adapter_moves_nothing_has_failed_beside_a_far_base(
    engine, serving, recorder, jobs
):
    engine.scores = {"base": -4.5, "adapter": -4.5}  # 1.6 nats from the trainer's base
    assert not await serving.passes(DONE)
    job, data = await job_of(recorder, jobs)
    assert job.error is not None
    assert "the engine answers like the base model" in job.error.message
    assert data["engine_move"] == data["followed"] == 0


async def test_a_job_goes_on_beside_an_engine_that_is_away_or_agrees(
    engine, serving, recorder, jobs
):
    engine.always["adapter"] = (503, "adapter_unavailable")
    assert await serving.passes(DONE)
    del engine.always["adapter"]
    assert await serving.passes(DONE)
    job, data = await job_of(recorder, jobs)
    assert job.status is Status.RUNNING
    assert data["followed"] > 0.9


@pytest.mark.parametrize(
    ("scores", "level", "cost"),
    [
        ({"base": -2.8, "adapter": -1.0}, "info", 0.0),
        ({"base": -2.5, "adapter": -0.7}, "info", -0.3),  # better than in the trainer
        ({"base": -3.2, "adapter": -1.3}, "info", 0.3),  # a sixth of what the training improved
        ({"base": -3.8, "adapter": -1.9}, "warn", 0.9),
    ],
)
async def test_a_loss_in_serving_is_told_if_someone_should_act(
    engine, serving, recorder, jobs, scores, level, cost
):
    engine.scores = scores
    assert await serving.passes(DONE)
    events, _ = await jobs.events_before(recorder.job.project_id, recorder.job.id, None, 1)
    assert events[0].level == level
    assert events[0].data["tuned_cost"] == pytest.approx(cost)
    assert "nats" not in events[0].message
    assert ("about 49% of what the training improved is lost" in events[0].message) == (
        level == "warn"
    )


def probe(tuned: list[float], base: list[float]) -> Probe:
    return Probe(tokens=[5, 6, 7], places=[1, 2], tuned=tuned, base=base)


@pytest.mark.parametrize(
    ("trainer_move", "engine_move", "base_gap", "tuned_gap", "followed", "words"),
    [
        (1.5, 1.4, 0.01, 0.03, 1.0, None),  # the same dtype
        (1.5, 1.3, 0.25, 0.35, 0.8, None),  # NF4 in the trainer, bf16 in the engine
        (0.01, 0.0, 0.01, 0.02, 0.0, None),  # a training that changed almost nothing
        (0.03, 0.04, 0.01, 0.05, 0.1, None),  # so little that the engine's noise covers it
        (0.11, 0.05, 0.1, 0.09, -0.1, None),  # rounding to bf16, in both
        (1.5, 0.0, 0.01, 1.5, 0.0, "like the base"),
        (0.3, 0.0, 0.25, 0.4, 0.0, "like the base"),  # with a base that differs as much
        (1.0, 0.02, 0.6, 1.1, 0.01, "like the base"),
        (1.5, 1.6, 0.01, 0.9, 0.9, "differ from the trainer"),
        (0.05, 3.0, 0.01, 3.0, 0.1, "differ from the trainer"),
    ],
)
def test_noise_is_let_through_and_faults_are_named(
    trainer_move, engine_move, base_gap, tuned_gap, followed, words
):
    figures = (trainer_move, engine_move, base_gap, tuned_gap, followed)
    fault = Parity(*figures, base_cost=0, tuned_cost=0, gain=1, tokens=50).fault
    assert (fault is None) if words is None else (words in str(fault))


def test_means_are_over_all_tokens_of_all_rows():
    probes = [probe([-1.0, -2.0], [-3.0, -3.0]), probe([-1.0, -1.0], [-1.0, -1.0])]
    parity = compare(probes, [[-1.5, -2.0], [-1.0, -1.0]], [[-3.0, -3.0], [-1.0, -1.0]])
    assert parity.tokens == 4
    assert parity.trainer_move == pytest.approx(0.75)
    assert parity.engine_move == pytest.approx((1.5 + 1.0) / 4)
    assert parity.base_gap == 0
    assert parity.tuned_gap == pytest.approx(0.125)
    assert parity.followed == pytest.approx((2 * 1.5 + 1 * 1) / (2 * 2 + 1 * 1))
    assert parity.base_cost == 0
    assert parity.tuned_cost == pytest.approx(0.5 / 4)
    assert parity.lost == pytest.approx(0.125 / 0.75)


async def test_engine_that_is_not_there_is_said_so():
    rows = [probe([-1.0, -1.0], [-1.0, -1.0])]
    async with Upstreams({"b": [f"http://127.0.0.1:{free_port()}"]}) as upstreams:
        with pytest.raises(EngineAway, match="engine_unavailable"):
            await ask_engine(upstreams, "b", ["a", "b"], rows)
