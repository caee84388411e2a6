"""Splits a canonical row into turns, with their roles and whether they are trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

Row = dict[str, Any]


class Turn(NamedTuple):
    """A message: its role, its text, whether it is trained on, and its JSON Pointer."""

    role: str
    text: str
    supervised: bool
    pointer: str


class Conversation(NamedTuple):
    """The turns of a row, and the turns of the rejected answer of a preference row.

    A text row is a single turn with the role "text", which is trained on.

    `beside` has texts that are not part of a turn: tools and names, which a chat template may
    render, and the item for a grader. `has_tools` is whether the row calls a tool or contains a
    tool result. `label` is whether the last answer was judged good, or None without a label.
    """

    turns: list[Turn]
    rejected: list[Turn]
    beside: list[Turn]
    has_tools: bool = False
    label: bool | None = None

    @property
    def every_turn(self) -> list[Turn]:
        """All turns, including those of the rejected answer and of other fields."""
        return [*self.turns, *self.rejected, *self.beside]

    @property
    def system(self) -> str:
        """Joined system messages, or an empty string if there are none."""
        return "\n".join([turn.text for turn in self.turns if turn.role == "system"])

    @property
    def tools(self) -> str:
        """Declared tools as JSON, or an empty string if there are none."""
        return "\n".join([turn.text for turn in self.beside if turn.role == "tools"])

    @property
    def item(self) -> str:
        """The item for a grader as JSON, or an empty string."""
        return "\n".join([turn.text for turn in self.beside if turn.role == "item"])

    @property
    def last_answer(self) -> int:
        """Index of the last turn that is trained on, or the number of turns if there is none."""
        for index in range(len(self.turns) - 1, -1, -1):
            if self.turns[index].supervised:
                return index
        return len(self.turns)


def split_row(row: Row) -> Conversation:
    """Split a canonical row into a conversation."""
    beside: list[Turn] = []
    if "text" in row:
        return Conversation([Turn("text", row["text"], True, "/text")], [], [])
    if "messages" in row:
        messages = row["messages"]
        beside.extend(_tools(row, ""))
        item = row.get("item")
        turns = _turns(messages, "/messages", beside, supervised=item is None)
        if item:
            beside.append(Turn("item", json.dumps(item, ensure_ascii=False), False, "/item"))
        label = row.get("label")
        if label is not None:  # which judges only the last answer
            turns[:-1] = [turn._replace(supervised=False) for turn in turns[:-1]]
        return Conversation(turns, [], beside, has_tools=_has_tools(messages), label=label)
    beside.extend(_tools(row["input"], "/input"))
    given = _turns(row["input"]["messages"], "/input/messages", beside, supervised=False)
    better = _turns(row["preferred_output"], "/preferred_output", beside, supervised=True)
    worse = _turns(row["non_preferred_output"], "/non_preferred_output", beside, supervised=False)
    parts = (row["input"]["messages"], row["preferred_output"], row["non_preferred_output"])
    has_tools = any(map(_has_tools, parts))
    return Conversation(given + better, worse, beside, has_tools=has_tools)


def _has_tools(messages: list[Row]) -> bool:
    return any(message.get("tool_calls") or message["role"] == "tool" for message in messages)


def _tools(owner: Row, at: str) -> Iterator[Turn]:
    if tools := owner.get("tools"):
        yield Turn("tools", json.dumps(tools, ensure_ascii=False), False, f"{at}/tools")


def _turns(messages: list[Row], at: str, beside: list[Turn], *, supervised: bool) -> list[Turn]:
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        role = message["role"]
        is_learned = supervised and role == "assistant" and message.get("weight") != 0
        turns.append(Turn(role, _text(message), is_learned, f"{at}/{index}"))
        if name := message.get("name"):
            beside.append(Turn("name", name, False, f"{at}/{index}/name"))
    return turns


def _text(message: Row) -> str:
    """Return the content, followed by the tool calls as JSON."""
    text = message.get("content") or ""
    calls = message.get("tool_calls")
    if calls:
        written = json.dumps([call["function"] for call in calls], ensure_ascii=False)
        return f"{text}\n{written}" if text else written
    return str(text)


class TurnWording(NamedTuple):
    """The wording of a turn: its text without politeness, unless it is only polite."""

    role: str
    text: str
    is_polite_only: bool
