"""Reasoning of an assistant before its answer, in training rows.

Canonical rows have it in the content, as most data sets do: `<think>…</think>`, then the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

FIELDS: Final = ("reasoning_content", "reasoning", "thinking")
"""Fields of an assistant's message in which other formats have it."""
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""How much a model should reason, as requests say it."""
_TAGGED: Final = re.compile(r"\A\s*<think>(?P<thought>.*?)</think>\s*", re.DOTALL)


def take_out(content: str) -> tuple[str, str]:
    """Return the reasoning at the beginning of a content, without its tags, and the answer."""
    found = _TAGGED.match(content)
    return ("", content) if found is None else (found["thought"].strip(), content[found.end() :])


def put_in(message: Mapping[str, Any], content: str) -> str:
    """Return the content of a message preceded by the reasoning in one of its fields, if any."""
    thought = next((message[name].strip() for name in FIELDS if message.get(name)), "")
    if not thought or _TAGGED.match(content):
        return content
    return f"<think>\n{thought}\n</think>\n\n{content}"
