"""Requests of an evaluation to an engine."""

from __future__ import annotations

import pytest

from service.grading.examples import Example
from service.jobs.evaluation.engine import EngineAway

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


async def test_thinking_can_be_disabled(engine, open_engine):
    engine.thinks = True
    assert not (await open_engine().answer(BASE, QUESTION, max_tokens=9)).text
    found = await open_engine(disable_thinking=True).answer(BASE, QUESTION, max_tokens=9)
    assert found.text == engine.base_answer


async def test_a_continuation_that_a_reasoning_parser_takes_is_read(engine, open_engine):
    engine.thinks = True
    begun = [*QUESTION, {"role": "assistant", "content": "I do"}]
    assert await open_engine().continue_answer(BASE, begun, max_tokens=9) == engine.base_answer


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
    assert found.error == "invalid_value"
    assert found.scores == {}


async def test_an_engine_that_stays_away_is_an_error(engine, open_engine):
    engine.failures = [503] * 99
    with pytest.raises(EngineAway):
        await open_engine(patience_s=0.1).answer(BASE, QUESTION, max_tokens=9)


TOOLS = [{"type": "function", "function": {"name": "ship", "parameters": {"type": "object"}}}]
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "ship", "arguments": '{"to": "Oslo"}'},
}


async def test_tools_are_sent_and_calls_come_back(engine, open_engine):
    engine.calls["Do you ship?"] = CALL
    asking = open_engine()
    assert await asking.reads_tool_calls()
    found = await asking.answer(TUNED, QUESTION, max_tokens=9, tools=TOOLS)
    assert (found.text, found.tool_calls, found.error) == ("", [CALL], None)
    assert found.full_text == '{"name": "ship", "arguments": "{\\"to\\": \\"Oslo\\"}"}'
    assert engine.seen[-1]["tools"] == TOOLS
    assert "tool_choice" not in engine.seen[-1]
    assert (await asking.answer(TUNED, QUESTION, max_tokens=9)).tool_calls == []


async def test_without_a_parser_calls_stay_in_the_text(engine, open_engine):
    engine.calls["Do you ship?"], engine.tool_parser = CALL, False
    asking = open_engine()
    assert await asking.reads_tool_calls()
    found = await asking.answer(TUNED, QUESTION, max_tokens=9, tools=TOOLS)
    assert found.tool_calls == []
    assert found.text.startswith('<tool_call> {"name": "ship"')
    assert engine.seen[-1]["tool_choice"] == "none"


async def test_calls_that_a_template_does_not_write_as_json_cannot_be_read(engine, open_engine):
    engine.tool_parser, engine.call_format = False, "{name}(city=Oslo)"
    assert not await open_engine().reads_tool_calls()


async def test_the_calls_of_a_reference_are_scored(engine, open_engine):
    row = Example(1, tuple(QUESTION), "", (CALL,), tuple(TOOLS))
    found = await open_engine().likelihood(TUNED, row)
    assert len(found.logprobs) == len(engine._written({"tool_calls": [CALL]}).split())
    assert engine.seen[-1]["messages"][-1]["tool_calls"] == [CALL]
    assert engine.seen[-1]["tools"] == TOOLS
