"""The last event of a stream of `/v1/responses`, named as OpenAI names it.

OpenAI ends the stream of an answer that reached its limit of tokens with `response.incomplete`.
vLLM always ends with `response.completed`, though the response in it says `incomplete`.
"""

from __future__ import annotations

import re

import msgspec

_MARK = b"event: response.completed"
_COMPLETED = re.compile(rb"^event: response\.completed\r?\ndata: (\{.*\})\r?$", re.MULTILINE)


class _Response(msgspec.Struct):
    status: str | None = None


class _Event(msgspec.Struct):
    response: _Response


_EVENT = msgspec.json.Decoder(_Event)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def name_end(events: bytes) -> bytes:
    """Rename the last event if its response is incomplete. `events` are complete events."""
    return _COMPLETED.sub(_named, events) if _MARK in events else events


def _named(found: re.Match[bytes]) -> bytes:
    try:
        if _EVENT.decode(found[1]).response.status != "incomplete":
            return found[0]
        fields: dict[str, object] = {**_FIELDS.decode(found[1]), "type": "response.incomplete"}
    except msgspec.DecodeError:
        return found[0]
    return b"event: response.incomplete\ndata: " + msgspec.json.encode(fields)
