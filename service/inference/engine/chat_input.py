"""Chats as vLLM 0.32 passes them to a chat template, as in training.

**Several parts of text** become one. Templates that read parts write them without anything in
between, or drop all but the first.

**Messages of the role `developer`** become system messages at the beginning, as in training rows.
vLLM does this only after it has converted the contents, and not for templates that know the role.

**The template is the tokenizer's**, with and without tools. Without tools, vLLM would prefer that
of the processor of images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vllm.renderers import hf

from service.chat_content import join_text_parts, join_texts, merge_system_messages
from service.inference.engine.answer_fields import replace


def install() -> None:
    """Change how vLLM's server in this process reads chats."""
    replace(hf, "parse_chat_messages", _parse)
    replace(hf, "parse_chat_messages_async", _parse)
    replace(hf, "_try_get_processor_chat_template", _no_template)


def _parse(original: Callable[..., Any], messages: Sequence[Any], *args: Any, **named: Any) -> Any:
    messages = [_joined(message) for message in messages]
    if any(message["role"] == "developer" for message in messages):
        messages = merge_system_messages([_instruction(message) for message in messages])
    return original(messages, *args, **named)


def _joined(message: Any) -> Any:
    content = message.get("content")
    if content is None or isinstance(content, str):
        return message
    return {**message, "content": join_text_parts(content)}


def _instruction(message: Any) -> Any:
    if message["role"] not in ("system", "developer"):
        return message
    content = message.get("content")
    if isinstance(content, list):
        content = join_texts(part.get("text") or "" for part in content)
    return {"role": "system", "content": content}


def _no_template(*_args: object, **_named: object) -> None:
    return None
