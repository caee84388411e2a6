"""Requests of an evaluation to an engine."""

from __future__ import annotations

import pytest

from service.jobs.evaluation.engine import EngineAway, gather

from .conftest import BASE, TUNED

QUESTION = [{"role": "user", "content": "Do you ship?"}]


async def test_an_answer_comes_with_its_cost(engine, open_engine):
    engine.answers["Do you ship?"] = "Aye, we ship."
    found = await open_engine().answer(TUNED, QUESTION, max_tokens=9)
    assert (found.text, found.finish_reason) == ("Aye, we ship.", "stop")
    assert (found.prompt_tokens, found.completion_tokens) == (5, 3)
    assert found.latency_s > 0
    (body,) = engine.seen
    assert body["temperature"] == 0
    assert body["priority"] > 0  # behind the requests of users
    assert body["max_tokens"] == 9


async def test_only_the_tokens_of_the_answer_are_scored(engine, open_engine):
    asking = open_engine()
    (tuned,) = await asking.likelihoods(TUNED, QUESTION, ["Aye, we ship."])
    (base,) = await asking.likelihoods(BASE, QUESTION, ["Aye, we ship."])
    assert tuned.logprobs == (-0.5,) * 3
    assert (tuned.likeliest, base.likeliest) == (3, 0)
    assert base.total == -6.0


async def test_a_prompt_is_measured_once_for_all_answers_and_models(engine, open_engine):
    asking = open_engine()
    for model in (BASE, TUNED):
        assert len(await asking.likelihoods(model, QUESTION, ["Aye.", "No.", "Perhaps."])) == 3
    assert len(engine.seen) == 1 + 2 * 3


async def test_a_rejected_request_is_an_error_of_its_row(engine, open_engine):
    engine.failures = [400]
    found = await open_engine().answer(BASE, QUESTION, max_tokens=9)
    assert found.error == "invalid_request_error"
    assert found.scores == {}


async def test_an_engine_that_is_away_for_a_moment_is_asked_again(engine, open_engine):
    engine.failures = [503, 503]
    found = await open_engine().answer(BASE, QUESTION, max_tokens=9)
    assert found.text == engine.base_answer


async def test_an_engine_that_stays_away_is_an_error(engine, open_engine):
    engine.failures = [503] * 99
    with pytest.raises(EngineAway):
        await open_engine(patience_s=0.1).answer(BASE, QUESTION, max_tokens=9)


async def test_gather_raises_the_error_itself():
    async def fail(number: int) -> int:
        if number == 2:
            raise EngineAway("gone")
        return number

    assert await gather(fail, [0, 1]) == [0, 1]
    with pytest.raises(EngineAway, match="gone"):
        await gather(fail, [1, 2, 3])
