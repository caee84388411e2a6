"""What evaluations of jobs ask the real engine: rows with tools, and the judge of texts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.config import Settings
from service.evals.judge import RunJudge
from service.grading.model_graders import JudgeAnswer
from service.inference.background.calls import EngineAccess, EngineCalls
from service.inference.upstreams import Upstreams
from service.jobs.evaluation.engine import EvaluationEngine
from service.jobs.evaluation.scoring import AnswerJudge
from service.standalone.up import DEMO_MODEL
from service.usage.meter import Meter
from tests.conftest import Api
from tests.e2e.conftest import Stack, rows_with_a_voice

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
QUESTION = {"role": "user", "content": "How is the weather in Oslo?"}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


@pytest.fixture
def settings(settings: Settings, demo_model_path: Path) -> Settings:
    """The catalog has the model that the engine serves."""
    facts = "license: apache-2.0, context_length: 2048, parameters: 135000000"
    entry = f"{{id: {DEMO_MODEL}, path: {demo_model_path}, {facts}}}"
    settings.models_file.write_text(f"models:\n- {entry}\n", "utf-8")
    return settings


@pytest.fixture
async def calls(stack: Stack, api: Api) -> AsyncIterator[EngineCalls]:
    """Requests to the engine on behalf of a project."""
    state = api.app.state
    project = await state.projects.create("acme")
    url = f"http://127.0.0.1:{stack.engine_port()}"
    key = (stack.data_dir / ".engine-key").read_text().strip()
    async with (
        Upstreams({DEMO_MODEL: [url]}, api_key=key) as upstreams,
        Meter(state.redis) as meter,
    ):
        access = EngineAccess(
            projects=state.projects,
            registry=state.registry,
            upstreams=upstreams,
            meter=meter,
            settings=api.settings,
        )
        yield access.calls(project.id, "key_a")


async def test_rows_with_tools_are_left_out_instead_of_failing(calls: EngineCalls):
    """The demo model's chat template writes no calls, and its engine has no parser of them."""
    engine = EvaluationEngine(calls, DEMO_MODEL)
    refused = await engine.answer(DEMO_MODEL, [QUESTION], max_tokens=4, tools=[TOOL])
    assert refused.error is not None  # without a parser, vLLM refuses tools by default
    assert not await engine.reads_tool_calls()
    answer = await engine.answer(DEMO_MODEL, [QUESTION], max_tokens=4, tools=[TOOL])
    assert answer.error is None
    assert answer.text


async def test_a_judge_that_guesses_is_found_out(calls: EngineCalls):
    """The demo model prefers a place, whichever answer is there."""
    judge, asked = RunJudge(calls), dict[tuple[str, str, str], str]()

    async def recorded(
        model: str, messages: list[dict[str, Any]], *, params: dict[str, Any]
    ) -> JudgeAnswer:
        answer = await judge(model, messages, params=params)
        question, first, second = messages[-1]["content"].split("\n\n")[:3]
        told = first.removeprefix("[Answer 1]\n"), second.removeprefix("[Answer 2]\n")
        asked[question, *told] = json.loads(answer.text)["result"]
        return answer

    rows = rows_with_a_voice("lighthouse-bookshop.jsonl", 6).splitlines()
    answers = AnswerJudge(recorded, DEMO_MODEL)
    found = await answers.calibrate([json.loads(row) for row in rows], 1)
    assert answers.unusable == 0  # the engine enforces the form
    assert set(asked.values()) <= {"1", "2", "tie"}
    assert len(asked) == 2 * found.pairs == 12
    assert all((question, b, a) in asked for question, a, b in asked)
    assert not found.is_usable, found
    assert judge.usage[DEMO_MODEL].completion_tokens <= 12 * 16
