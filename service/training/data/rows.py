"""Reads the rows of training files, in the form that a chat template receives.

Templates receive the same shape as from the serving engine, so that the model is trained on what it
will see: tool arguments as objects, and tools with the same fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from service.chat_content import join_texts, tool_definition
from service.training.contract.failures import TrainingFailure
from service.training.contract.protocol import Purpose

Message = dict[str, Any]
_PASSED_ON = ("name", "reasoning_content", "tool_call_id")


@dataclass(frozen=True, slots=True)
class Chat:
    """One line of a training file.

    `messages` are ready for a template. `supervised` holds the indices of the assistant messages
    that carry loss. `line` counts from 1.
    """

    line: int
    messages: tuple[Message, ...]
    supervised: tuple[int, ...]
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Preference:
    """One line of a preference file: the better and the worse answer to one input.

    Each is a chat in which only the answer carries loss.
    """

    line: int
    better: Chat
    worse: Chat


Row = TypeVar("Row")


def read_chats(path: Path, *, param: str) -> Iterator[Chat]:
    """Read the chats of a JSONL file, in order, skipping blank lines.

    `param` names the job field that supplied the file. Raises `TrainingFailure`
    (invalid_training_file) at the first line that is not a chat, or if the file is missing.
    """
    return read_rows(
        path, to_chat, "a chat. Each line is a JSON object with a list of messages", param
    )


def read_preferences(path: Path, *, param: str) -> Iterator[Preference]:
    """Read the preferences of a JSONL file. Behaves like `read_chats` otherwise."""
    what = (
        "a preference. Each line is a JSON object with input, preferred_output and "
        "non_preferred_output"
    )
    return read_rows(path, _preference, what, param)


def read_rows(path: Path, shape: Callable[[int, Any], Row], what: str, param: str) -> Iterator[Row]:
    """Yield what `shape` makes of each line's number and JSON. `what` says what a line must be."""
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = shape(number, json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError):
                    raise TrainingFailure(
                        "invalid_training_file", f"Line {number} is not {what}.", param=param
                    ) from None
                yield row
    except FileNotFoundError as error:
        raise TrainingFailure(
            "invalid_training_file", "The file is not on the worker.", param=param
        ) from error


def to_chat(number: int, row: Any) -> Chat:
    """Return the chat of a canonical row with messages."""
    messages = row["messages"]
    return Chat(
        line=number,
        messages=tuple(to_template_message(message) for message in messages),
        supervised=tuple(
            place for place, message in enumerate(messages) if _is_supervised(message)
        ),
        tools=tuple(map(tool_definition, row.get("tools") or ())),
    )


def _preference(number: int, row: Any) -> Preference:
    given = row["input"]["messages"]
    before = tuple(to_template_message(message) for message in given)
    tools = tuple(map(tool_definition, row["input"].get("tools") or ()))

    def answered(output: Any) -> Chat:
        if not output:
            raise ValueError("an output must contain a message")
        return Chat(
            line=number,
            messages=before + tuple(to_template_message(message) for message in output),
            supervised=tuple(
                place
                for place, message in enumerate(output, start=len(before))
                if _is_supervised(message)
            ),
            tools=tools,
        )

    return Preference(
        number, answered(row["preferred_output"]), answered(row["non_preferred_output"])
    )


def _is_supervised(message: Message) -> bool:
    return message["role"] == "assistant" and message.get("weight") != 0


def to_template_message(message: Message) -> Message:
    """Convert one message from the wire format to the form that a chat template expects."""
    shaped: Message = {
        "role": message["role"],
        "content": _text(message.get("content")),
    }
    for key in _PASSED_ON:
        if message.get(key) is not None:
            shaped[key] = message[key]
    if message.get("tool_calls"):
        shaped["tool_calls"] = [_tool_call(call) for call in message["tool_calls"]]
    return shaped


def _text(content: object) -> str:
    match content:
        case None:
            return ""
        case str():
            return content
        case list():
            return join_texts(part["text"] for part in content)
        case _:
            raise TypeError("content must be a string or a list of text parts")


def _tool_call(call: Message) -> Message:
    function = dict(call["function"])
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        # Templates serialize the arguments as JSON themselves; a string would be quoted twice.
        function["arguments"] = json.loads(arguments) if arguments.strip() else {}
    return {**call, "function": function}


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One line of a file of prompts: a chat that the model is to continue.

    `row` counts from 0 in the file, and remains when files are mixed.
    """

    line: int
    chat: Chat
    row: int
    file: Purpose


def read_prompts(path: Path, *, param: str) -> Iterator[PromptRow]:
    """Read the prompts in a JSONL file, in order. Raises the same errors as `read_chats`."""
    what = (
        "a prompt. Each line must be a JSON object with a list of messages that does not end with "
        "an answer"
    )
    file: Purpose = "validation" if param == "validation_file" else "training"
    return read_rows(path, partial(_prompt, file), what, param)


def _prompt(file: Purpose, number: int, row: Any) -> PromptRow:
    messages = row["messages"]
    if not messages or messages[-1]["role"] == "assistant":
        raise ValueError("a row must end with a message that asks for an answer")
    return PromptRow(number, to_chat(number, row), number - 1, file)


@dataclass(frozen=True, slots=True)
class LabeledRow:
    """One line of a labeled file: a chat whose last message, an answer, was marked good or bad.

    Only that answer contributes to the loss.
    """

    line: int
    chat: Chat
    is_good: bool


@dataclass(frozen=True, slots=True)
class Text:
    """One line of a file of texts, of which every token contributes to the loss."""

    line: int
    text: str


# One line of a training file, whatever its format.
TrainingRow = Chat | Preference | LabeledRow | Text | PromptRow


def read_labeled(path: Path, *, param: str) -> Iterator[LabeledRow]:
    """Read the labeled answers in a JSONL file, in order. Raises as `read_chats` does."""
    what = (
        "a labeled answer. Each line must be a JSON object with a list of messages that ends with "
        "an answer, and a label that is true or false"
    )
    return read_rows(path, _labeled, what, param)


def read_texts(path: Path, *, param: str) -> Iterator[Text | Chat]:
    """Read the texts in a JSONL file, and the chats that are mixed with them, in order.

    Raises the same errors as `read_chats`.
    """
    what = "a text. Each line must be a JSON object with a text, or with a list of messages"
    return read_rows(path, _text_or_chat, what, param)


def _text_or_chat(number: int, row: Any) -> Text | Chat:
    if "messages" in row:
        return to_chat(number, row)
    if not isinstance(row["text"], str):
        raise TypeError("a text must be a string")
    return Text(number, row["text"])


def _labeled(number: int, row: Any) -> LabeledRow:
    label, messages = row["label"], row["messages"]
    if not isinstance(label, bool) or not messages or messages[-1]["role"] != "assistant":
        raise ValueError("a row must end with an answer and have a label")
    chat = replace(to_chat(number, row), supervised=(len(messages) - 1,))
    return LabeledRow(number, chat, label)
