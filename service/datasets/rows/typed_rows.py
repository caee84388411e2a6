"""Types of plain rows, for the fast path of the validation.

Each role has its own type, so that the decoder checks which fields a role may have. A row that does
not match can still be valid: it may have content parts, tools, a name, or a weight, which
`checks/rows.py` checks in detail.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final

import msgspec

_Text = Annotated[str, msgspec.Meta(min_length=1)]


# gc=False: rows contain no reference cycles, so the garbage collector can skip them.
class _Strict(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Base type that rejects unknown fields, so that a row with one takes the slow path."""


class _Turn(_Strict, tag_field="role"):
    """A message, whose role is determined by its type."""


class SystemMessage(_Turn, tag="system"):
    """A system message with instructions."""

    content: _Text


class DeveloperMessage(_Turn, tag="developer"):
    """A developer message, the newer name for a system message."""

    content: _Text


class UserMessage(_Turn, tag="user"):
    """A user message."""

    content: _Text


class AssistantMessage(_Turn, tag="assistant"):
    """A message that the model should write.

    It has no weight. Messages with a weight are rare, so they take the slow path.
    """

    content: _Text


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage


class ChatRow(_Strict):
    """A plain conversation, without tools."""

    messages: list[Message]


class LabeledRow(_Strict):
    """A plain conversation whose last answer was judged, without tools."""

    messages: list[Message]
    label: bool


class TextRow(_Strict):
    """A text."""

    text: str


class PreferenceInput(_Strict):
    """The input that both answers of a preference row respond to."""

    messages: list[Message]


class PreferenceRow(_Strict):
    """One input with a preferred and a rejected answer, without tools."""

    input: PreferenceInput
    preferred_output: list[AssistantMessage]
    non_preferred_output: list[AssistantMessage]


CONTEXT: Final = frozenset({"messages", "tools", "functions", "parallel_tool_calls"})
"""Fields of a row that the model sees. All other fields are the item for a grader."""


def item_of(row: Mapping[str, Any], context: Collection[str] = CONTEXT) -> dict[str, Any]:
    """Return the fields besides the conversation. A canonical row has them in `item` already."""
    item = {field: value for field, value in row.items() if field not in context}
    inner = item.get("item")
    return inner if len(item) == 1 and isinstance(inner, dict) else item
