"""Training rows for the tests of this folder: constructed ones, and those of the examples."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from service.grading.examples import Example, examples_of

Row = dict[str, Any]
EXAMPLES = Path(__file__).parents[2] / "examples"


def chat(question: str, answer: str, system: str = "") -> Row:
    """A chat row with one turn."""
    messages = [{"role": "system", "content": system}] if system else []
    messages += [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return {"messages": messages}


def call(question: str, name: str, **arguments: Any) -> Row:
    """A chat row whose answer calls a tool."""
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    calls = [{"id": "call_1", "type": "function", "function": function}]
    tool = {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "tool_calls": calls},
        ],
        "tools": [tool],
    }


def examples(pairs: Iterable[tuple[str, str]]) -> list[Example]:
    """Examples of questions and answers."""
    return examples_of([chat(question, answer) for question, answer in pairs])


def bookshop(name: str = "lighthouse-bookshop.jsonl") -> list[Row]:
    """The rows of an example file."""
    return [json.loads(line) for line in (EXAMPLES / name).read_text("utf-8").splitlines()]
