"""Answers of a real engine, as the types of OpenAI's SDK describe them, and its tool calls."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from typing import Any

import jsonschema_rs
import pytest
from openai import AsyncOpenAI, BadRequestError
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from tests.docs.frameworks import framework_python
from tests.inference.conftest import ACME_KEY
from tests.inference.engine.support import BASE, check_type

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "unit": {"enum": ["celsius", "kelvin"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "where": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 8}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
    "required": ["unit", "days", "where"],
    "additionalProperties": False,
}
FUNCTION: dict[str, Any] = {"name": "forecast", "parameters": SCHEMA}
TOOL: Any = {"type": "function", "function": FUNCTION}
OTHER: Any = {"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}}
NAMED: Any = {"type": "function", "function": {"name": "forecast"}}
# xgrammar does not compile lookbehinds.
HARD = {"type": "object", "properties": {"n": {"type": "string", "pattern": "(?<=a)b"}}}
QUESTION: Any = [{"role": "user", "content": "How is the weather?"}]
CHAT: dict[str, Any] = {"model": BASE, "messages": QUESTION, "temperature": 0, "max_tokens": 100}
RESPONSE: dict[str, Any] = {"model": BASE, "input": "How is the weather?", "temperature": 0}


@pytest.fixture
async def openai(client):
    """OpenAI's client of the gateway."""
    async with AsyncOpenAI(base_url=f"{client.url}/v1", api_key=ACME_KEY, max_retries=0) as opened:
        yield opened


@pytest.fixture
def ask(client):
    """Send a request and return the JSON of its answer, or that of each event."""

    async def send(path: str, **body: Any) -> Any:
        async with client.post(path, json=body) as response:
            text = await response.text()
            assert response.status == 200, text
        if not body.get("stream"):
            return json.loads(text)
        lines = [line.removeprefix("data: ") for line in text.split("\n") if line[:5] == "data:"]
        return [json.loads(line) for line in lines if line != "[DONE]"]

    return send


@pytest.mark.parametrize("choice", ["required", NAMED])
@pytest.mark.parametrize("strict", [{}, {"strict": False}])
async def test_arguments_follow_the_schema(openai, choice, strict):
    tool = {"type": "function", "function": {**FUNCTION, **strict}}
    chat = await openai.chat.completions.create(
        **{**CHAT, "temperature": 1, "n": 4}, tools=[tool, OTHER], tool_choice=choice, seed=1
    )
    for each in chat.choices:
        for call in each.message.tool_calls or ():
            assert call.id.startswith("call_")
            if call.function.name == "forecast" and each.finish_reason != "length":
                jsonschema_rs.validate(SCHEMA, json.loads(call.function.arguments))
        assert each.message.content is None
    assert any(each.message.tool_calls for each in chat.choices)
    response = await openai.responses.create(
        **RESPONSE, tools=[{"type": "function", **FUNCTION, **strict}], tool_choice="required"
    )
    (item,) = response.output
    jsonschema_rs.validate(SCHEMA, json.loads(item.arguments))


async def test_a_schema_that_cannot_be_compiled_constrains_nothing_unless_strict(openai):
    hard = {"name": "count", "parameters": HARD}
    chat = {**CHAT, "tool_choice": "required"}
    answer = await openai.chat.completions.create(
        **chat, tools=[{"type": "function", "function": hard}]
    )
    assert answer.choices[0].message.tool_calls[0].function.name == "count"
    with pytest.raises(BadRequestError):
        await openai.chat.completions.create(
            **chat, tools=[{"type": "function", "function": {**hard, "strict": True}}]
        )


async def test_a_cut_call_is_the_same_in_a_stream(openai):
    asked = {**CHAT, "tools": [TOOL], "tool_choice": "required"}

    async def both(limit: int) -> tuple[Any, Any]:
        whole = await openai.chat.completions.create(**{**asked, "max_tokens": limit})
        async with openai.chat.completions.stream(**{**asked, "max_tokens": limit}) as stream:
            async for _ in stream:
                pass
            streamed = stream.current_completion_snapshot  # the final one is an error if cut
        return tuple(_message(each.choices[0]) for each in (whole, streamed))

    found = await asyncio.gather(*(both(limit) for limit in range(1, 30, 2)))
    assert [whole for whole, _ in found] == [streamed for _, streamed in found]
    assert any(calls and reason == "length" for (_, calls, reason), _ in found)


def _message(choice: Any) -> Any:
    functions = [call.function for call in choice.message.tool_calls or ()]
    calls = [(function.name, function.arguments or "") for function in functions]
    return choice.message.content or None, calls, choice.finish_reason


@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 3},
        {"logprobs": True, "top_logprobs": 2, "n": 2, "temperature": 1, "max_tokens": 3},
        {"stop": ["e"]},
        {"tools": [TOOL], "tool_choice": "required"},
        {"tools": [TOOL], "tool_choice": "required", "max_tokens": 9},
        {"functions": [FUNCTION], "function_call": {"name": "forecast"}},
    ],
)
async def test_chats_have_openais_fields_and_no_others(ask, fields):
    body = {**CHAT, **fields}
    check_type(ChatCompletion, await ask("/v1/chat/completions", **body))
    options = {"stream": True, "stream_options": {"include_usage": True}}
    for chunk in await ask("/v1/chat/completions", **body, **options):
        check_type(ChatCompletionChunk, chunk)


@pytest.mark.parametrize("fields", [{}, {"logprobs": 2, "echo": True}, {"stop": "e", "n": 2}])
async def test_completions_have_openais_fields_and_no_others(ask, fields):
    body = {"model": BASE, "prompt": "Hello", "max_tokens": 4, **fields}
    answer = await ask("/v1/completions", **body)
    chunks = await ask("/v1/completions", **body, stream=True)
    assert all(choice["finish_reason"] for choice in answer["choices"])
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert all({choice["index"]: choice["finish_reason"] for choice in choices}.values())
    for each in (answer, *chunks):
        check_type(Completion, _without_usual_nulls(each))


def _without_usual_nulls(answer: Any) -> Any:
    """Return a completion without the nulls that OpenAI answers although its SDK has no such type.

    A choice of a stream has no reason before it ends, and the first token has no probability.
    """
    for choice in answer["choices"]:
        choice["finish_reason"] = choice["finish_reason"] or "stop"
        logprobs = choice.get("logprobs") or {}
        for name in ("token_logprobs", "top_logprobs"):
            if logprobs.get(name, [0])[:1] == [None] and logprobs["text_offset"][0] == 0:
                del logprobs[name][0]
    return answer


async def test_what_is_asked_for_is_answered(ask):
    body = {**CHAT, "max_tokens": 2, "return_token_ids": True, "prompt_logprobs": 0}
    answer = await ask("/v1/chat/completions", **body)
    assert len(answer["choices"][0]["token_ids"]) == 2
    assert answer["prompt_token_ids"]
    assert answer["prompt_logprobs"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"stop": ["e"]}, "completed"),
        ({"max_output_tokens": 2}, "incomplete"),
        ({"tools": [{"type": "function", **FUNCTION}], "tool_choice": "required"}, "completed"),
        (
            {
                "tools": [{"type": "function", **FUNCTION}],
                "tool_choice": {"type": "function", "name": "forecast"},
                "max_output_tokens": 24,  # after its name
            },
            "incomplete",
        ),
        (
            {
                "text": {"format": {"type": "json_schema", "name": "f", "schema": SCHEMA}},
                "metadata": {"a": "b"},
            },
            "completed",
        ),
    ],
)
async def test_responses_repeat_the_request_and_have_no_other_fields(ask, fields, status):
    body = {**RESPONSE, **fields}
    answer = await ask("/v1/responses", **body)
    events = await ask("/v1/responses", **body, stream=True)
    for event in events:
        check_type(ResponseStreamEvent, event)
    assert events[-1]["type"] == f"response.{status}"
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    for response in (answer, events[-1]["response"]):
        check_type(Response, response)
        assert response["status"] == status
        assert response["output"][-1]["status"] == done[-1]["status"] == status
        assert response["metadata"] == fields.get("metadata", {})
        assert response["tool_choice"] == fields.get("tool_choice", "auto")
        assert response["max_output_tokens"] == fields.get("max_output_tokens")
        assert [tool["name"] for tool in response["tools"]] == ["forecast"] * ("tools" in fields)
        expected = fields.get("text", {"format": {"type": "text"}})["format"]
        assert response["text"]["format"]["type"] == expected["type"]


async def test_functions_are_answered_in_their_old_form(openai):
    asked = {**CHAT, "functions": [FUNCTION], "function_call": {"name": "forecast"}}
    (choice,) = (await openai.chat.completions.create(**asked)).choices
    jsonschema_rs.validate(SCHEMA, json.loads(choice.message.function_call.arguments))
    assert choice.message.tool_calls is None
    name, arguments = "", ""
    async for chunk in await openai.chat.completions.create(**asked, stream=True):
        if (call := chunk.choices[0].delta.function_call) is not None:
            name, arguments = name + (call.name or ""), arguments + (call.arguments or "")
    assert name == choice.message.function_call.name == "forecast"
    assert json.loads(arguments) == json.loads(choice.message.function_call.arguments)
    answered = await openai.chat.completions.create(
        model=BASE,
        max_tokens=4,
        messages=[
            *QUESTION,
            {"role": "assistant", "content": None, "function_call": choice.message.function_call},
            {"role": "function", "name": "forecast", "content": "rainy"},
        ],
        functions=[FUNCTION],
    )
    assert answered.choices[0].finish_reason in ("length", "stop")


async def test_only_allowed_tools_are_called(openai):
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "other"}}]}
    chat = await openai.chat.completions.create(
        **CHAT,
        tools=[TOOL, OTHER],
        tool_choice={"type": "allowed_tools", "allowed_tools": allowed},
    )
    assert {call.function.name for call in chat.choices[0].message.tool_calls} == {"other"}
    tools = [{"type": "function", **tool["function"]} for tool in (TOOL, OTHER)]
    choice = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "forecast"}],
    }
    response = await openai.responses.create(**RESPONSE, tools=tools, tool_choice=choice)
    assert {item.name for item in response.output} == {"forecast"}
    assert [tool.name for tool in response.tools] == ["forecast", "other"]
    assert response.tool_choice.mode == "required"


_FRAMEWORKS = """
import json, sys
from typing import Literal

import instructor
import openai
from langchain_openai import ChatOpenAI
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel, Field

url, key, model, question = sys.argv[1:]

class Forecast(BaseModel):
    "Forecast of the weather."
    unit: Literal["celsius", "kelvin"]
    days: int = Field(ge=1, le=9)

chat = ChatOpenAI(base_url=url, api_key=key, model=model, max_tokens=80, temperature=0)
asked = instructor.from_openai(openai.OpenAI(base_url=url, api_key=key), instructor.Mode.TOOLS)
llama = OpenAILike(
    model=model, api_base=url, api_key=key, max_tokens=80, temperature=0, is_chat_model=True,
    is_function_calling_model=True,
)
found = {
    "langchain": chat.with_structured_output(Forecast, method="function_calling").invoke(question),
    "instructor": asked.create(
        model=model, response_model=Forecast, max_tokens=80, temperature=0, max_retries=0,
        messages=[{"role": "user", "content": question}],
    ),
    "llama-index": llama.structured_predict(Forecast, PromptTemplate(question)),
}
print(json.dumps({name: each.model_dump() for name, each in found.items()}))
"""


@pytest.mark.skipif(
    os.environ.get("FINETUNED_LONG_PAGES") != "1",
    reason="installs frameworks: 'make proof NAME=pages' runs it",
)
async def test_frameworks_get_structured_output_from_tools_that_are_not_strict(client):
    asked = [f"{client.url}/v1", ACME_KEY, BASE, QUESTION[0]["content"]]
    command = [str(framework_python()), "-c", _FRAMEWORKS, *asked]
    # In another thread, since the gateway runs in this one.
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout)
    assert sorted(said) == ["instructor", "langchain", "llama-index"]
    for found in said.values():
        assert found["unit"] in ("celsius", "kelvin")
        assert 1 <= found["days"] <= 9
