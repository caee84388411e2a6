"""Reads training rows as examples: a prompt and the last answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from service.reasoning import take_out

Row = dict[str, Any]
Message = dict[str, Any]


class Example(NamedTuple):
    """The prompt and the answer of a row. `line` is its line in the training file, from 1.

    `prompt` holds all messages before the answer, and `answer` is the answer's text, which is
    empty if the answer only calls tools. `thought` is the assistant's reasoning before it.
    """

    line: int
    prompt: tuple[Message, ...]
    answer: str
    tool_calls: tuple[dict[str, Any], ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    thought: str = ""

    @property
    def question(self) -> str:
        """Text of the last user message, or an empty string if there is none."""
        said = (text_of(message) for message in reversed(self.prompt) if message["role"] == "user")
        return next(said, "")

    @property
    def uses_tools(self) -> bool:
        """Whether tools are declared or called, or have answered."""
        asked = any(m["role"] == "tool" or m.get("tool_calls") for m in self.prompt)
        return bool(self.tools or self.tool_calls or asked)

    @property
    def system(self) -> str:
        """Joined system messages, or an empty string if there are none."""
        return "\n".join(text_of(message) for message in self.prompt if is_system(message))


def examples_of(rows: Iterable[Row], lines: Sequence[int] | None = None) -> list[Example]:
    """Return the examples of canonical rows of any row format.

    `lines` are the rows' lines in the file, by default from 1. Rows without an answer to learn
    from, or whose answer is labeled as bad, are left out. The answer of a preference row is the
    preferred one.
    """
    found: list[Example] = []
    for index, row in enumerate(rows):
        line = index + 1 if lines is None else lines[index]
        example = _example(row, line)
        if example is not None:
            found.append(example)
    return found


def spread(examples: Sequence[Example], n: int) -> Sequence[Example]:
    """Return at most `n` examples at even distances."""
    if len(examples) <= n:
        return examples
    return [examples[at * len(examples) // n] for at in range(n)]


def text_of(message: Message) -> str:
    """Return the text of a canonical message; empty if it has none."""
    return message.get("content") or ""


def is_system(message: Message) -> bool:
    """Return whether a message holds instructions of the application."""
    return message["role"] in ("system", "developer")


def _example(row: Row, line: int) -> Example | None:
    if "text" in row or row.get("label") is False:
        return None
    owner = row if "messages" in row else row["input"]
    messages = [*owner["messages"], *row.get("preferred_output", ())]
    places = [at for at, message in enumerate(messages) if _is_answer(message)]
    if not places:
        return None
    answer = messages[places[-1]]
    thought, said = take_out(text_of(answer))
    return Example(
        line=line,
        prompt=tuple(messages[: places[-1]]),
        answer=said,
        tool_calls=tuple(answer.get("tool_calls") or ()),
        tools=tuple(owner.get("tools") or ()),
        thought=thought,
    )


def _is_answer(message: Message) -> bool:
    is_learned = message["role"] == "assistant" and message.get("weight") != 0
    return is_learned and bool(message.get("content") or message.get("tool_calls"))
