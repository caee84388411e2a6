"""Tests how evaluations ask the real engine about tools if it has no parser of tool calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.config import Settings
from service.inference.background.calls import EngineAccess
from service.inference.upstreams import Upstreams
from service.jobs.evaluation.engine import EvaluationEngine
from service.standalone.up import DEMO_MODEL
from service.usage.meter import Meter
from tests.conftest import Api
from tests.e2e.conftest import Stack

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


async def test_rows_with_tools_are_left_out_instead_of_failing(stack: Stack, api: Api):
    """The demo model's chat template writes no calls, and its engine has no parser of them."""
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
        engine = EvaluationEngine(access.calls(project.id, "key_a"), DEMO_MODEL)
        refused = await engine.answer(DEMO_MODEL, [QUESTION], max_tokens=4, tools=[TOOL])
        assert refused.error is not None  # without a parser, vLLM refuses tools by default
        assert not await engine.reads_tool_calls()
        answer = await engine.answer(DEMO_MODEL, [QUESTION], max_tokens=4, tools=[TOOL])
        assert answer.error is None
        assert answer.text
