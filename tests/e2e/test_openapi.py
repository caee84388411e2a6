"""Tests that a complete installation responds as openapi.json says."""

from __future__ import annotations

import pytest
from finetuned.types import TrainingAdvice

from tests.e2e.conftest import Stack
from tests.openapi.record import EXAMPLES
from tests.openapi.scenario import stack as scenario
from tests.openapi.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


async def test_training_and_serving_answer_as_described(stack: Stack, advice: TrainingAdvice):
    """Each call checks its response, including those that need a training and an engine."""
    world = World(stack.url, {"member": stack.key})
    try:
        job = await scenario.train(world)
        await scenario.look(world, job)
        await scenario.ask(world, job, tokens=8)
        await scenario.read_advice(world, advice.id)
        await scenario.usage(world)
        await scenario.evaluate(world, job)  # last: it starts another evaluation
    finally:
        await world.close()
    kept = {file.stem for file in (EXAMPLES / "stack").glob("*.json")}
    assert world.said.keys() == kept
