"""Thoughts of the assistant, from the text of a row to the form in which the model writes them.

When serving, a model that thinks continues a prompt, which may already open the thought. What it is
trained on must continue the same prompt, or else its answers would be taken for thoughts.
"""

from __future__ import annotations

import re
from typing import Any, Final

from service.thoughts import FIELDS, take_out

Message = dict[str, Any]
PROBED: Final = "probed thought"
PROBE: Final[tuple[Message, ...]] = (
    {"role": "user", "content": "A question"},
    {"role": "assistant", "content": "An answer", **dict.fromkeys(FIELDS, PROBED)},
)
"""A conversation whose thought is in the fields that templates read."""
_OPENED: Final = re.compile(r"<think>\s*\Z")
_END: Final = "</think>"


def in_fields(message: Message) -> Message:
    """Move the thought in the content of an assistant's message to the fields of templates."""
    if message["role"] != "assistant":
        return message
    thought, answer = take_out(message["content"])
    if not thought:
        return message
    return {**message, "content": answer, **dict.fromkeys(FIELDS, thought)}


def thought_of(message: Message) -> str:
    """Return what the assistant thought before this message, or an empty text."""
    return message.get(FIELDS[0]) or take_out(message["content"])[0]


def after_prompt(prompt: str, through: str, thought: str) -> str:
    """Return the render that ends with a turn, so that it continues the prompt.

    If the prompt opens a thought that the template does not write in rows, as DeepSeek R1's, the
    thought is written here, and may be empty.
    """
    opened = _OPENED.search(prompt)
    if opened is None or through.startswith(prompt):
        return through
    before = prompt[: opened.start()]
    if not through.startswith(before) or _END in through[len(before) :]:
        return through
    written = f"{thought}\n{_END}" if thought else _END
    return f"{prompt}{written}\n\n{through[len(before) :].lstrip()}"
