"""A canonical row split into its texts, with their roles and whether they are trained on."""

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
    """The turns of a row, and those of the rejected answer if it is a preference row.

    A text is a single turn of the role "text", which is trained on.

    `beside` holds texts that are not part of a turn: tools and names, which a chat template may
    write, and the item that a grader reads. `has_tools` is whether the row calls a tool or contains
    a tool result. `label` is whether the last answer was judged good, or None if the row has no
    label.
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
        """What a grader knows about the row as JSON, or an empty string."""
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
        turns = _turns(messages, "/messages", beside, learnt=item is None)
        if item:
            beside.append(Turn("item", json.dumps(item, ensure_ascii=False), False, "/item"))
        label = row.get("label")
        if label is not None:  # of the last answer alone
            turns[:-1] = [turn._replace(supervised=False) for turn in turns[:-1]]
        return Conversation(turns, [], beside, has_tools=_has_tools(messages), label=label)
    beside.extend(_tools(row["input"], "/input"))
    given = _turns(row["input"]["messages"], "/input/messages", beside, learnt=False)
    better = _turns(row["preferred_output"], "/preferred_output", beside, learnt=True)
    worse = _turns(row["non_preferred_output"], "/non_preferred_output", beside, learnt=False)
    parts = (row["input"]["messages"], row["preferred_output"], row["non_preferred_output"])
    has_tools = any(map(_has_tools, parts))
    return Conversation(given + better, worse, beside, has_tools=has_tools)


def _has_tools(messages: list[Row]) -> bool:
    return any(message.get("tool_calls") or message["role"] == "tool" for message in messages)


def _tools(owner: Row, at: str) -> Iterator[Turn]:
    if tools := owner.get("tools"):
        yield Turn("tools", json.dumps(tools, ensure_ascii=False), False, f"{at}/tools")


def _turns(messages: list[Row], at: str, beside: list[Turn], *, learnt: bool) -> list[Turn]:
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        role = message["role"]
        supervised = learnt and role == "assistant" and message.get("weight") != 0
        turns.append(Turn(role, _text(message), supervised, f"{at}/{index}"))
        if name := message.get("name"):
            beside.append(Turn("name", name, False, f"{at}/{index}/name"))
    return turns


def _text(message: Row) -> str:
    """Return the content, followed by the tool calls as a template would write them."""
    text = message.get("content") or ""
    calls = message.get("tool_calls")
    if calls:
        written = json.dumps([call["function"] for call in calls], ensure_ascii=False)
        return f"{text}\n{written}" if text else written
    return str(text)


class Said(NamedTuple):
    """What a turn says. A turn that is only polite is compared as it is."""

    role: str
    text: str
    is_polite_only: bool
