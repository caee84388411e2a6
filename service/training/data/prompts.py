"""Reads training files of prompts, to which answers are sampled and graded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from service.training.contract.protocol import Purpose
from service.training.data.chats import Chat, read_rows, to_chat


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
