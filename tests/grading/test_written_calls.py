"""Tool calls that models write as text, in the forms of common chat templates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.grading.tool_call import find_written_calls


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
    }


WEATHER = call("weather", city="Oslo")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Hermes, Qwen
        ('<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
         [WEATHER]),
        ('Sure.<tool_call>{"name": "a", "arguments": {}}</tool_call><tool_call>'
         '{"arguments": {"x": [1, {"y": 2}]}, "name": "b"}</tool_call>',
         [call("a"), call("b", x=[1, {"y": 2}])]),
        # Llama
        ('<|python_tag|>{"name": "weather", "parameters": {"city": "Oslo"}}', [WEATHER]),
        # Mistral, Granite, Phi
        ('[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Oslo"}}]', [WEATHER]),
        ('[{"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}]', [WEATHER]),
        (json.dumps([{"id": "c", **WEATHER}]), [WEATHER]),
        ('{"tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}', [WEATHER]),
        ('{"name": "weather", "arguments": {"city": "東京"}}', [call("weather", city="東京")]),
        # No calls
        ("", []),
        ("It is cold in Oslo.", []),
        ('{"name": "Ada", "age": 36}', []),
        ('<tool_call>{"name": "weather", "arguments": {"city": "Os', []),
        ('{"name": "weather", "arguments": "Oslo"}', []),
        ("[" * 50_000, []),
    ],
)  # fmt: skip
def test_written_calls(text: str, expected: list[dict[str, Any]]) -> None:
    assert find_written_calls(text) == expected


def test_few_of_many_brackets_are_tried() -> None:
    written = '{"name": "a", "arguments": {}}'
    assert find_written_calls("{" * 900 + written) == [call("a")]
    assert find_written_calls("{" * 1000 + written) == []


def test_the_number_of_calls_is_limited() -> None:
    assert len(find_written_calls('{"name": "a", "arguments": {}}' * 1000)) == 64
