"""Tests of responses of `/v1/responses` as they are stored: as chats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.files.stored_chats.redaction import RESPONSES, Recorded, Refused, StoredChat, redact
from service.web import openapi
from tests.files.stored_chats.support import MODEL, response, response_stream, said

STACK = Path(openapi.__file__).parent / "examples" / "stack"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}


def recorded(given: Any, answer: bytes, **fields: Any) -> Recorded:
    body = json.dumps({"model": MODEL, "input": given, **fields}).encode()
    return Recorded(body, answer, "mask", path=RESPONSES)


def stored(given: Any, *output: dict[str, Any], **fields: Any) -> StoredChat:
    found = redact(recorded(given, json.dumps(response(*output)).encode(), **fields))
    assert isinstance(found, StoredChat), found
    return found


def call(name: str, arguments: str, call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def thought(text: str) -> dict[str, Any]:
    content = [{"type": "reasoning_text", "text": text}]
    return {"id": "rs_1", "type": "reasoning", "summary": [], "content": content}


def test_a_text_with_instructions():
    chat = stored(
        "I am ann@example.com.",
        said("Hello ann@example.com."),
        instructions="Be kind.",
        temperature=0.5,
        max_output_tokens=9,
        metadata={"from": "ann@example.com"},
    )
    assert chat.row == {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "I am [EMAIL]."},
            {"role": "assistant", "content": "Hello [EMAIL]."},
        ]
    }
    assert (chat.id, chat.created, chat.finish_reason) == ("resp_1", 1_700_000_000, "stop")
    assert chat.usage == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    assert chat.sampling == {"temperature": 0.5, "max_completion_tokens": 9}
    assert chat.metadata == {"from": "[EMAIL]"}


def test_messages_calls_and_thoughts_become_those_of_a_chat():
    chat = stored(
        [
            {"role": "developer", "content": "Look it up."},
            {"role": "user", "content": [{"type": "input_text", "text": "Rain in Hue, Kyoto?"}]},
            said("I look."),
            call("weather", '{"city": "Hue"}', "call_1"),
            call("weather", '{"city": "Kyoto"}', "call_2"),
            {"type": "function_call_output", "call_id": "call_1", "output": "sun"},
            {"type": "function_call_output", "call_id": "call_2", "output": "rain"},
            said("Sun and rain."),
            {"type": "message", "role": "user", "content": "And Bandung?"},
        ],
        thought("Ask ann@example.com."),
        call("weather", '{"city": "Bandung"}', "call_3"),
        tools=[TOOL],
        parallel_tool_calls=True,
    )
    *asked, answer = chat.row["messages"]
    assert [(m["role"], m.get("content")) for m in asked] == [
        ("system", "Look it up."),
        ("user", "Rain in Hue, Kyoto?"),
        ("assistant", "I look."),
        ("tool", "sun"),
        ("tool", "rain"),
        ("assistant", "Sun and rain."),
        ("user", "And Bandung?"),
    ]
    assert [c["id"] for c in asked[2]["tool_calls"]] == ["call_1", "call_2"]
    assert [asked[3]["tool_call_id"], asked[4]["tool_call_id"]] == ["call_1", "call_2"]
    assert answer["content"] == "<think>\nAsk [EMAIL].\n</think>\n\n"
    assert json.loads(answer["tool_calls"][0]["function"]["arguments"]) == {"city": "Bandung"}
    assert chat.finish_reason == "tool_calls"
    function = {"name": "weather", "parameters": WEATHER, "strict": True}
    assert chat.row["tools"] == [{"type": "function", "function": function}]
    assert chat.row["parallel_tool_calls"] is True


def test_a_stream_is_stored_if_its_last_event_arrived():
    cut_off = response(
        said("Hel"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}
    )
    for whole, reason in ((response(said("Hello")), "stop"), (cut_off, "length")):
        events = response_stream(whole)
        found = redact(recorded("Hi", b"".join(events)))
        assert isinstance(found, StoredChat)
        assert found.row["messages"][-1]["content"] == whole["output"][0]["content"][0]["text"]
        assert found.finish_reason == reason
        assert redact(recorded("Hi", b"".join(events[:-1]))) == Refused("unsupported")
    failed = b'data: {"error": {"message": "The engine failed."}}\n\n'
    assert redact(recorded("Hi", events[0] + failed)) == Refused("unsupported")


def test_answers_of_vllm_are_stored():
    """The documented examples are what vLLM answered, of a stream the first and last events."""
    shown = msgspec.json.decode((STACK / "createResponse.json").read_bytes())
    asked = shown["requestBody"]["application/json"]["answer"]["value"]
    given = shown["responses"]["200"]
    whole = given["application/json"]["answer"]["value"]
    stream = given["text/event-stream"]["stream"]["value"]
    last = [line for line in stream.splitlines() if line.startswith('data: {"')][-1]
    streamed = json.loads(last.removeprefix("data: "))["response"]
    for answer, said_last in ((json.dumps(whole), whole), (stream, streamed)):
        chat = redact(recorded(asked["input"], answer.encode()))
        assert isinstance(chat, StoredChat)
        assert chat.id in answer
        assert chat.row["messages"][0] == {"role": "user", "content": asked["input"]}
        assert len(chat.row["messages"][1]["content"]) > 50
        is_cut = said_last["status"] == "incomplete"
        assert chat.finish_reason == ("length" if is_cut else "stop")
        usage = said_last["usage"]
        assert usage["output_tokens"] > 0
        assert chat.usage == {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["total_tokens"],
        }


HELLO = json.dumps(response(said("Hello"))).encode()
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
FILE = {"type": "input_file", "file_id": "file-1"}


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ([{"role": "user", "content": [IMAGE]}], {}),
        ([{"role": "user", "content": [{"type": "input_text", "text": "Read"}, FILE]}], {}),
        ([{"role": "user", "content": "Hi"}, {"type": "item_reference", "id": "msg_1"}], {}),
        ([{"role": "user", "content": "Hi"}, {**said("Hel"), "status": "in_progress"}], {}),
        ("Search", {"tools": [{"type": "web_search"}]}),
        ([], {}),
    ],
)
def test_other_content_than_text_is_not_stored(given: Any, fields: dict[str, Any]):
    assert redact(recorded(given, HELLO, **fields)) == Refused("unsupported")


@pytest.mark.parametrize(
    "response_",
    [
        response(),
        response(said("Hi"), status="failed"),
        response(said("Hi"), {"type": "web_search_call", "id": "ws_1", "status": "completed"}),
        response(said("Hi"), said("Hi again")),
    ],
)
def test_a_response_without_one_answer_is_not_stored(response_: dict[str, Any]):
    assert redact(recorded("Hi", json.dumps(response_).encode())) == Refused("unsupported")
