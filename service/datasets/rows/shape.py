"""The typed shape of a row: decoding to it is the fast half of the validation.

Each role is a type of its own, so that the decoder itself checks what a role may carry.
A row that does not fit is not yet wrong (content in parts, tools, a name, a weight): it
only goes the slow way, through `checks.rows`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

_Text = Annotated[str, msgspec.Meta(min_length=1)]


# gc=False: no row refers back to itself, so the collector need not look at any.
class _Strict(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A field that is not named here sends the row the slow way."""


class _Turn(_Strict, tag_field="role"):
    """A message; its role is its type."""


class SystemMessage(_Turn, tag="system"):
    """Instructions."""

    content: _Text


class DeveloperMessage(_Turn, tag="developer"):
    """Instructions, by their newer name."""

    content: _Text


class UserMessage(_Turn, tag="user"):
    """What the user says."""

    content: _Text


class AssistantMessage(_Turn, tag="assistant"):
    """What the model should say. One with a weight goes the slow way: weights are rare."""

    content: _Text


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage


class ChatRow(_Strict):
    """A plain conversation, without tools."""

    messages: list[Message]


class PreferenceInput(_Strict):
    """What both answers of a preference row answer."""

    messages: list[Message]


class PreferenceRow(_Strict):
    """One input, the better and the worse answer, without tools."""

    input: PreferenceInput
    preferred_output: list[AssistantMessage]
    non_preferred_output: list[AssistantMessage]
