"""Runs and validations of graders. Their judges need an engine, and answer in tests/e2e."""

from __future__ import annotations

import contextlib
from typing import Any

from service.core.backpressure import Slots
from service.evals.graders_routes import MOST_RUNS_PER_PROJECT
from tests.openapi.world import World

SIMILAR = {
    "type": "text_similarity",
    "name": "close",
    "evaluation_metric": "fuzzy_match",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference_answer}}",
    "pass_threshold": 0.8,
}
MULTI = {
    "type": "multi",
    "name": "close_and_short",
    "graders": {
        "close": SIMILAR,
        "short": {
            "type": "python",
            "name": "short",
            "source": "def grade(sample, item):\n    return len(sample['output_text']) < 80\n",
        },
    },
    "calculate_output": "0.75 * close + 0.25 * short",
}
SAMPLE = {
    "model_sample": "We open at nine every day.",
    "item": {"reference_answer": "We open at nine on Mondays."},
}


async def graders(world: World, running: Slots, project_id: str, away: str) -> None:
    """Validate and run good graders and wrong ones. `away` has no engine at the moment."""
    await world.call("validateGrader", "text_similarity", json={"grader": SIMILAR})
    await world.call(
        "runGrader",
        "text_similarity",
        "How close an answer is to its reference",
        json={"grader": SIMILAR, **SAMPLE},
        cut=_stable,
    )
    await world.call(
        "runGrader",
        "multi",
        "A formula of two graders",
        json={"grader": MULTI, **SAMPLE},
        cut=_stable,
    )
    await _refused(world, away)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MOST_RUNS_PER_PROJECT):
            await stack.enter_async_context(running.hold(project_id))
        await world.call("runGrader", expect=429, json={"grader": SIMILAR, **SAMPLE})


async def _refused(world: World, away: str) -> None:
    wrong = {**SIMILAR, "reference": "{{reference_answer}}"}
    judge = {
        "type": "score_model",
        "name": "judge",
        "model": "gpt-unknown",
        "input": [{"role": "user", "content": "How polite is {{sample.output_text}}?"}],
    }
    for operation, more in (("validateGrader", {}), ("runGrader", SAMPLE)):
        await world.call(operation, expect=400, json={"grader": wrong, **more})
        await world.call(operation, expect=400, json={**more})
        await world.call(operation, expect=404, json={"grader": judge, **more})
    ran = await world.call("runGrader", json={"grader": {**judge, "model": away}, **SAMPLE})
    assert ran.json()["metadata"]["errors"]["model_grader_server_error"]


def _stable(shown: dict[str, Any]) -> dict[str, Any]:
    return {**shown, "metadata": {**shown["metadata"], "execution_time": 0.1}}
