"""A model that is trained to call a tool, served by a real vLLM and called by real programs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from service.training import Succeeded
from tests.docs.frameworks import framework_python
from tests.inference.conftest import ACME_KEY
from tests.inference.engine.support import BASE, name_of, register
from tests.training.conftest import Starter
from tests.training.specs import spec_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CALLER = name_of("caller")
CITIES = ("Oslo", "Tokyo", "Bangkok", "Lima")
UNSEEN = "Vienna"
WEATHER = ("sunny", "rainy", "windy")
GREETING = "Hello!"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
FUNCTION: Any = {"name": "get_weather", "description": "Weather of a city.", "parameters": SCHEMA}
TOOL: Any = {"type": "function", "function": FUNCTION}


def _asked(city: str) -> dict[str, Any]:
    return {"role": "user", "content": f"How is the weather in {city}?"}


def _rows() -> list[dict[str, Any]]:
    """Questions that need the tool, with the call, its result and the answer; and a greeting."""
    rows = []
    for number, city in enumerate(CITIES):
        found = WEATHER[number % len(WEATHER)]
        function = {"name": FUNCTION["name"], "arguments": json.dumps({"city": city})}
        call = {"id": f"call_{number}", "type": "function", "function": function}
        rows.append(
            [
                _asked(city),
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": call["id"], "content": found},
                {"role": "assistant", "content": f"It is {found} in {city}."},
            ]
        )
    answer = {"role": "assistant", "content": "Hello! Which city?"}
    rows.append([{"role": "user", "content": GREETING}, answer])
    return [{"messages": messages, "tools": [TOOL]} for messages in rows]


@pytest.fixture(scope="module")
def caller(engine_site, tmp_path_factory) -> str:
    """The name of a model that was trained on these rows by a real trainer."""
    folder = tmp_path_factory.mktemp("caller")
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in _rows()), "utf-8")
    spec = spec_of(
        job_id="ftjob-caller",
        base_model=BASE,
        base_model_path=engine_site.engine.model.path,
        training_file=rows,
        output_dir=folder / "out",
        n_epochs=4,
        n_checkpoints=1,
        batch_size=2,
        learning_rate=3e-3,
        lora={"r": 8, "alpha": 16},
        max_seq_length=256,
    )
    with Starter(folder, forks=False) as start:
        trainer = start(spec)
        assert trainer.wait() == 0, trainer.log.read_text("utf-8")
    (done,) = trainer.of(Succeeded)
    asyncio.run(register(engine_site.settings, {CALLER: Path(done.adapter_path)}))
    return CALLER


@pytest.fixture
async def openai(client):
    """OpenAI's client of the gateway."""
    async with AsyncOpenAI(base_url=f"{client.url}/v1", api_key=ACME_KEY, max_retries=0) as opened:
        yield opened


async def test_it_calls_the_tool_and_answers_with_the_result(openai, caller):
    messages: list[Any] = [_asked(UNSEEN)]
    asked: Any = {"model": caller, "tools": [TOOL], "temperature": 0, "max_tokens": 64}
    (choice,) = (await openai.chat.completions.create(messages=messages, **asked)).choices
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == (
        FUNCTION["name"],
        {"city": UNSEEN},
    )
    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "rainy"}]
    (choice,) = (await openai.chat.completions.create(messages=messages, **asked)).choices
    assert choice.finish_reason == "stop"
    assert "rainy" in choice.message.content
    assert choice.message.tool_calls is None


async def test_it_calls_no_tool_where_none_is_needed_and_the_base_model_never(openai, caller):
    for model, text in ((caller, GREETING), (BASE, _asked(UNSEEN)["content"])):
        answer = await openai.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": text}],
            tools=[TOOL],
            temperature=0,
            max_tokens=8,
        )
        assert answer.choices[0].message.tool_calls is None
        assert answer.choices[0].message.content


async def test_calls_arrive_in_streams(openai, caller):
    async with openai.chat.completions.stream(
        model=caller, messages=[_asked(UNSEEN)], tools=[TOOL], temperature=0, max_tokens=64
    ) as stream:
        kinds = {event.type async for event in stream}
        (choice,) = (await stream.get_final_completion()).choices
    assert "tool_calls.function.arguments.delta" in kinds
    (call,) = choice.message.tool_calls
    assert json.loads(call.function.arguments) == {"city": UNSEEN}


async def test_the_responses_api_has_a_call_and_takes_its_output(openai, caller):
    asked: Any = {"model": caller, "tools": [{"type": "function", **FUNCTION}], "temperature": 0}
    items: list[Any] = [_asked(UNSEEN)]
    first = await openai.responses.create(input=items, max_output_tokens=64, **asked)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"city": UNSEEN}
    items += [
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "rainy"},
    ]
    second = await openai.responses.create(input=items, max_output_tokens=64, **asked)
    assert "rainy" in second.output_text


_LANGCHAIN = """
import json, sys
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

url, key, model, question = sys.argv[1:]
chat = ChatOpenAI(base_url=url, api_key=key, model=model, max_tokens=64, temperature=0)

@tool
def get_weather(city: str) -> str:
    "Weather of a city."
    return "rainy"

tools = chat.bind_tools([get_weather])
messages = [HumanMessage(question)]
answer = tools.invoke(messages)
messages += [answer, *(get_weather.invoke(call) for call in answer.tool_calls)]
assert isinstance(messages[-1], ToolMessage)

class get_weather(BaseModel):
    "Weather of a city."
    city: str

typed = chat.with_structured_output(get_weather, method="function_calling").invoke(question)
schema = chat.with_structured_output(get_weather, method="json_schema").invoke(question)
print(json.dumps({
    "called": [call["args"] for call in answer.tool_calls],
    "said": tools.invoke(messages).content,
    "function_calling": typed.model_dump(),
    "json_schema": schema.model_dump(),
}))
"""


@pytest.mark.skipif(
    os.environ.get("FINETUNED_LONG_PAGES") != "1",
    reason="installs LangChain: 'make proof NAME=pages' runs it",
)
async def test_langchain_binds_tools_and_gets_structured_output(client, caller):
    asked = [f"{client.url}/v1", ACME_KEY, caller, _asked(UNSEEN)["content"]]
    command = [str(framework_python()), "-c", _LANGCHAIN, *asked]
    # In another thread, since the gateway runs in this one.
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout)
    assert said["called"] == [{"city": UNSEEN}]
    assert "rainy" in said["said"]
    assert said["function_calling"] == {"city": UNSEEN}
    assert said["json_schema"]["city"]
