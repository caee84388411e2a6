"""Texts of prompts and answers, made safe to show. Model output is hostile input."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

# C0 and C1 controls except tab and line feed, bidirectional embeddings, overrides and isolates, and
# lone surrogates. A right-to-left override could reorder the text around an answer; lone surrogates
# cannot be encoded.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NAME_CHARS: Final = 200
_LINE_CHARS: Final = 2_000


class SafeText(NamedTuple):
    """A text that is safe to show, and the number of characters that were left out."""

    text: str
    left_out: int

    @property
    def note(self) -> str:
        """Note for the reader if the text was cut, else an empty string."""
        if not self.left_out:
            return ""
        return f"{self.left_out:,} more characters are in the JSON of this evaluation."


def make_safe(text: str, limit: int) -> SafeText:
    """Return a text cut to `limit` characters, with visible control characters."""
    text = text.replace("\r\n", "\n")
    return SafeText(_UNSAFE.sub(_code_point, text[:limit]), max(0, len(text) - limit))


def safe_name(text: str) -> str:
    """Return a name given by a user, such as a model's, safe to show on one line."""
    return make_safe(text, _NAME_CHARS).text.replace("\n", " ")


def safe_line(text: str) -> str:
    """Return a sentence safe to show on one line."""
    return make_safe(text, _LINE_CHARS).text.replace("\n", " ")


def content_text(content: Any) -> str:
    """Return the text of a chat message's content, which may be a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(map(_part_text, content))
    return json.dumps(content, ensure_ascii=False, default=str)


def message_text(message: dict[str, Any]) -> str:
    """Return the text of a chat message, with its tool calls."""
    parts = [content_text(message.get("content"))]
    if message.get("tool_calls"):
        parts.append(json.dumps(message["tool_calls"], ensure_ascii=False, default=str))
    return "\n".join(filter(None, parts))


def _part_text(part: Any) -> str:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    return json.dumps(part, ensure_ascii=False, default=str)


def _code_point(found: re.Match[str]) -> str:
    return f"[U+{ord(found[0]):04X}]"
