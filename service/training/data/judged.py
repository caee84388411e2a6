"""Reads training files of labeled answers, which people marked good or bad, and of texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service.training.data.chats import Chat, Preference, read_rows, to_chat
from service.training.data.prompts import PromptRow


@dataclass(frozen=True, slots=True)
class Judged:
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
Line = Chat | Preference | Judged | Text | PromptRow


def read_judged(path: Path, *, param: str) -> Iterator[Judged]:
    """The judged answers in a JSONL file, in order. Raises the same errors as `read_chats`."""
    what = (
        "a labeled answer. Each line must be a JSON object with a list of messages that ends with "
        "an answer, and a label that is true or false"
    )
    return read_rows(path, _judged, what, param)


def read_texts(path: Path, *, param: str) -> Iterator[Text | Chat]:
    """The texts in a JSONL file, and the chats that are mixed with them, in order.

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


def _judged(number: int, row: Any) -> Judged:
    label, messages = row["label"], row["messages"]
    if not isinstance(label, bool) or not messages or messages[-1]["role"] != "assistant":
        raise ValueError("a row must end with an answer and have a label")
    chat = replace(to_chat(number, row), supervised=(len(messages) - 1,))
    return Judged(number, chat, label)
