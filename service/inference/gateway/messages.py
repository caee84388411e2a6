"""The messages of a chat, as far as the gateway checks them.

vLLM accepts a message with an unknown role or without content, and chat templates then drop it or
fail in their own words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from service.inference.gateway import refusals

ROLES: Final = ("system", "assistant", "user", "function", "tool", "developer")
_ROLES: Final = frozenset(ROLES)
_MAY_BE_EMPTY: Final = frozenset({"assistant", "function"})
_STARTS: Final = (b'"', b"[")
_KINDS: Final = {
    ord("{"): "object",
    ord("t"): "bool",
    ord("f"): "bool",
    ord("n"): "null",
}


class ChatMessage(msgspec.Struct):
    """A message. Its content is not decoded."""

    role: str
    content: msgspec.Raw = msgspec.Raw(b"")


def check_messages(messages: Sequence[ChatMessage]) -> None:
    """Raise BadRequest if a message has an unknown role, or no content where it needs one."""
    if not messages:
        raise refusals.empty("messages")
    for number, message in enumerate(messages):
        if message.role not in _ROLES:
            raise refusals.not_among(f"messages[{number}].role", message.role, ROLES)
        content = bytes(message.content)
        if content.startswith(_STARTS):
            continue
        is_missing = not content
        if message.role in _MAY_BE_EMPTY and (is_missing or content == b"null"):
            continue
        name = f"messages[{number}].content"
        if is_missing:
            raise refusals.missing(name)
        kind = _KINDS.get(content[0], "float" if b"." in content else "int")
        raise refusals.wrong_type(name, "one of a string or array of objects", kind)
