"""Extracts token counts from responses while they pass through.

Accounting requires every stream to end with vLLM's usage event. If the caller did not request it,
the gateway does and then removes the event, so that the caller receives exactly the bytes that it
would receive without the gateway's request.

The counts are found by their position in the response, because callers choose much of its text and
even some keys (the tools that /v1/responses repeats). Nothing else is parsed, and no response is
stored.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec

_MARK = b'"usage"'
# Only a key has such a character before it and a colon after it: quotes in strings are escaped.
_KEY = re.compile(rb'[{,\s]"usage"\s{0,8}:\s{0,8}\{')
_MAX_KEY_BYTES = 26
# Counts are nested one level and contain no strings.
_OBJECT = re.compile(rb"\{(?:[^{}]++|\{[^{}]*+\})*+\}")
_MAX_OBJECT_BYTES = 4096
_MAX_HELD_BYTES = 1024 * 1024
_OPEN_BRACE = ord("{")


class Usage(NamedTuple):
    """Token counts of a request, as reported by the engine."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Counts(msgspec.Struct):
    """Counts with either API's names. Chats and completions use the first ones."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Details | None = None


class _Answer(msgspec.Struct):
    usage: _Counts | None = None


class _Event(_Answer):
    choices: list[Any] | None = None


_COUNTS = msgspec.json.Decoder(_Counts)
_ANSWER = msgspec.json.Decoder(_Answer)
_EVENT = msgspec.json.Decoder(_Event)


def usage_of(answer: bytes) -> Usage | None:
    """Return the counts of a complete response that is not a stream, if it has any."""
    decoded = _whole(answer)
    return _usage(decoded.usage) if decoded and decoded.usage else None


class UsageTap:
    """Extracts the token counts from a response.

    Every chunk of the response goes through `pass_on`; then `usage()` returns the counts. If
    `strip` is true, the usage event is removed. Then, and if `whole_events` is true, incomplete
    events are held back until they are complete, unless they have more than 1 MiB. `level` is the
    nesting level of the counts: 1 is a field of the outermost object.
    """

    __slots__ = ("_counts", "_held", "_holds", "_level", "_reported", "events", "strips")

    def __init__(self, *, strip: bool, whole_events: bool = False, level: int = 1) -> None:
        self.strips = strip
        """Whether to remove the usage event."""
        self._holds = strip or whole_events
        self._held = b""
        self._level = level
        self._reported: _Counts | None = None
        self._counts: _CountsFinder | None = None
        self.events = 0
        """Number of events, which approximates the tokens of an interrupted stream."""

    def pass_on(self, chunk: bytes) -> bytes:
        """Return the part of the chunk (and of held-back data) to send to the client now."""
        counts = self._counts
        if counts is None:
            if self._level == 1 and chunk.endswith(b"}") and self._is_whole(chunk):
                return chunk  # almost every response that is not a stream
            counts = self._counts = _CountsFinder(self._level)
        if counts.at_rest and not self._held and chunk.endswith(b"\n\n") and _MARK not in chunk:
            self.events += chunk.count(b"\n\n")
            return chunk  # almost every chunk of a stream
        counts.look(chunk)
        if self._holds:
            chunk = self._complete_events(chunk)
        self.events += chunk.count(b"\n\n")
        return self._without_usage(chunk) if self.strips and _MARK in chunk else chunk

    def finish(self) -> bytes:
        """Return held-back data: an event without an end."""
        held, self._held = self._held, b""
        return held

    def usage(self) -> Usage | None:
        """Return the counts, if the response contained them."""
        counts = self._reported or (self._counts and _decoded(self._counts.newest))
        return _usage(counts) if counts else None

    def _is_whole(self, chunk: bytes) -> bool:
        """Return whether the chunk is the complete response; then the counts are known."""
        decoded = _whole(chunk)
        if decoded is None:
            return False
        self._reported = decoded.usage
        return True

    def _complete_events(self, chunk: bytes) -> bytes:
        """Return the events that end in the chunk, and hold back what follows."""
        if self._held:
            chunk = self._held + chunk
            self._held = b""
        end = _end_of_events(chunk)
        if end < len(chunk) and len(chunk) - end <= _MAX_HELD_BYTES:
            self._held = chunk[end:]
            chunk = chunk[:end]
        return chunk

    def _without_usage(self, chunk: bytes) -> bytes:
        events = chunk.split(b"\n\n")
        kept = [event for event in events if not (_MARK in event and _is_of_usage(event))]
        self.events -= len(events) - len(kept)
        return b"\n\n".join(kept)


class _CountsFinder:
    """Finds the latest `usage` object at one nesting level of JSON that arrives in pieces.

    Before each key of that name, the brackets outside of strings are counted with functions that
    run in C. Only the end of a piece is kept, where a key or its value may be incomplete.
    """

    __slots__ = ("_depth", "_held", "_in_string", "_level", "at_rest", "newest")

    def __init__(self, level: int) -> None:
        self.newest = b""
        self.at_rest = True
        """Whether nothing is open, so that the next piece can be skipped if it is complete."""
        self._level = level
        self._depth = 0
        self._in_string = 0
        self._held = b""

    def look(self, chunk: bytes) -> None:
        """Process the next piece."""
        is_whole = chunk.endswith(b"\n\n")  # events: nothing is open after them
        data = self._held + chunk if self._held else chunk
        at = 0
        end = len(data) if is_whole else max(0, len(data) - _MAX_KEY_BYTES)
        for key in _KEY.finditer(data):
            self._walk(data[at : key.start()])
            at = key.start()
            if self._depth + (data[at] == _OPEN_BRACE) != self._level:
                continue
            value = key.end() - 1
            self.newest = data[value : value + _MAX_OBJECT_BYTES]
            if not is_whole and len(data) - value < _MAX_OBJECT_BYTES:
                end = at  # processed again together with the next piece
                break
        self._held = self._walk(data[at:end]) + data[max(at, end) :]
        self.at_rest = not (self._held or self._depth)

    def _walk(self, data: bytes) -> bytes:
        """Count the brackets in the data. Returns an incomplete escape at its end, uncounted."""
        half = b"\\" if (len(data) - len(data.rstrip(b"\\"))) % 2 else b""
        parts = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[self._in_string :: 2])
        self._in_string ^= (len(parts) - 1) % 2
        self._depth += outside.count(b"{") + outside.count(b"[")
        self._depth -= outside.count(b"}") + outside.count(b"]")
        return half


def _whole(answer: bytes) -> _Answer | None:
    """Decode a complete response. Returns None if it is incomplete, or a stream."""
    try:
        return _ANSWER.decode(answer)
    except (msgspec.DecodeError, RecursionError):
        return None


def _decoded(value: bytes) -> _Counts | None:
    """Decode the counts object at the start of the bytes."""
    found = _OBJECT.match(value)
    try:
        return _COUNTS.decode(found[0]) if found else None
    except msgspec.DecodeError:
        return None


def _usage(counts: _Counts) -> Usage | None:
    read = counts.prompt_tokens if counts.input_tokens is None else counts.input_tokens
    written = counts.completion_tokens if counts.output_tokens is None else counts.output_tokens
    if read is None and written is None:
        return None
    details = counts.prompt_tokens_details or counts.input_tokens_details
    return Usage(read or 0, written or 0, (details and details.cached_tokens) or 0)


def _is_of_usage(event: bytes) -> bool:
    """Return whether an event contains only the counts."""
    try:
        decoded = _EVENT.decode(event.removeprefix(b"data: "))
    except msgspec.DecodeError:
        return False
    return decoded.usage is not None and decoded.choices == []


def _end_of_events(chunk: bytes) -> int:
    """Return the end position of the last complete event, or 0 if there is none."""
    if chunk.endswith(b"\n\n"):
        return len(chunk)
    return max(
        at + len(mark) if (at := chunk.rfind(mark)) >= 0 else 0 for mark in (b"\n\n", b"\r\n\r\n")
    )
