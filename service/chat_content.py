"""Messages in the form in which trainings and engines pass them to a chat template.

Some templates read the content of a message as a string, others as a list of parts. A few write
something else for the other form. What is converted here, vLLM converts in the same way, so that a
model is trained on the tokens that it will see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

Message = dict[str, Any]
ContentFormat = Literal["string", "openai"]
"""A string, or OpenAI's list of parts. The names are vLLM's."""

_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
_PROBE: Final = {"system": "probed rule", "user": "probed question", "assistant": "probed answer"}
_RAW_PART: Final = re.compile(r"""["']type["']\s*:""")


def choose_content_format(render: Callable[[list[Message]], str | None]) -> ContentFormat:
    """Return the form for a template: parts if it writes their texts, or else a string.

    `render` returns what the template writes for messages, or None if it refuses them.
    """
    for roles in (("system", "user", "assistant"), ("user", "assistant")):
        text = render([{"role": role, "content": [_part(_PROBE[role])]} for role in roles])
        if text is not None:
            takes_parts = all(_PROBE[role] in text for role in roles)
            return "openai" if takes_parts and not _RAW_PART.search(text) else "string"
    return "string"


def with_content_format(message: Message, content_format: ContentFormat) -> Message:
    """Return a message whose content is a string with the content that the template reads.

    The answers of tools are strings for all templates.
    """
    if content_format == "string" or message["role"] == "tool":
        return message
    is_call = bool(message.get("tool_calls"))  # its content is null when served
    content = message["content"]
    return {**message, "content": [] if is_call and not content else [_part(content)]}


def join_texts(texts: Iterable[str]) -> str:
    """Return the texts of a message's parts as one."""
    return "\n".join(filter(None, texts))


def join_text_parts(content: Iterable[Any]) -> list[Any]:
    """Replace parts of text that follow each other by one with all of their text."""
    joined: list[Any] = []
    for part in content:
        text = _text_of(part)
        before = _text_of(joined[-1]) if joined else None
        if text is None:
            joined.append(part)
        elif before is None:
            joined.append(_part(text))
        else:
            joined[-1] = _part(join_texts((before, text)))
    return joined


def merge_system_messages(messages: Sequence[Message]) -> list[Message]:
    """Move all system messages to the beginning, as one, because many templates accept no other.

    Conversations with messages of the role `developer` are converted in this way.
    """
    texts = [message.get("content") for message in messages if message["role"] == "system"]
    system = {"role": "system", "content": "\n\n".join(filter(None, texts))}
    return [system, *(message for message in messages if message["role"] != "system")]


def tool_definition(tool: Mapping[str, Any]) -> Message:
    """Return the definition of a tool with the fields that templates see when served."""
    function = tool["function"]
    fields = {name: function.get(name) for name in ("name", "description", "parameters")}
    if function.get("strict") is not None:
        fields["strict"] = function["strict"]
    return {"type": "function", "function": fields}


def _text_of(part: Any) -> str | None:
    """Return the text of a part, or None if it is something else."""
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("type") in _TEXT_PARTS:
        text = part.get("text")
        return text if isinstance(text, str) else None
    return None


def _part(text: str) -> Message:
    return {"type": "text", "text": text}
