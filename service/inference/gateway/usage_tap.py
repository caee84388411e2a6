"""Token counts, read from an answer that passes by.

For accounting every stream must end with vLLM's usage event. Where the caller did not ask for
it, the gateway does, and takes the event out again: then what the caller gets is byte for byte
what it would have been.

Nothing is parsed but the counts. `"usage"` with its quotes cannot stand inside a JSON string,
where quotes are escaped, so the bytes are searched as they are.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_MARK = b'"usage"'
_COUNTS = re.compile(
    rb'"(prompt|input|completion|output|cached)_tokens"\s*:\s*(\d{1,12})',
)
# As vLLM writes it; found in a sixth of the time.
_AS_VLLM = re.compile(
    rb'"usage":\{"prompt_tokens":(\d{1,12}),"total_tokens":\d{1,12},"completion_tokens":(\d{1,12})'
)
_CACHED = re.compile(rb'"cached_tokens":(\d{1,12})')
_OBJECT_BYTES = 1024  # the usage object is smaller
_MAX_HELD_BYTES = 1024 * 1024


class Usage(NamedTuple):
    """Tokens of one request, as the engine counted them."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int


class UsageTap:
    """Every chunk of one answer goes through `pass_on`; the counts are in `usage()` then.

    With `strip` the usage event is taken out, and an event that is not whole yet waits for its
    rest.
    """

    __slots__ = ("_held", "_seen", "events", "strips")

    def __init__(self, *, strip: bool) -> None:
        self.strips = strip
        """Whether an event is taken out."""
        self._held = b""
        self._seen = b""
        self.events = 0
        """Events that passed: about as many as tokens, for a stream that was cut off."""

    def pass_on(self, chunk: bytes) -> bytes:
        """What of the chunk (and of what was held back) goes to the client now."""
        if self.strips:
            return self._stripped(chunk)
        self.events += chunk.count(b"\n\n")
        self._look(chunk)
        return chunk

    def finish(self) -> bytes:
        """What was held back: an event without an end."""
        held, self._held = self._held, b""
        return held if self.strips else b""

    def usage(self) -> Usage | None:
        """The counts, if the answer told them."""
        if (told := _AS_VLLM.match(self._seen)) is not None:
            cached = _CACHED.search(self._seen, told.end())
            return Usage(int(told[1]), int(told[2]), int(cached[1]) if cached else 0)
        counts: dict[bytes, int] = {}
        for name, value in _COUNTS.findall(self._seen):
            counts.setdefault(name, int(value))
        if not counts:
            return None
        return Usage(
            input_tokens=counts.get(b"prompt", counts.get(b"input", 0)),
            output_tokens=counts.get(b"completion", counts.get(b"output", 0)),
            cached_tokens=counts.get(b"cached", 0),
        )

    def _look(self, chunk: bytes) -> None:
        """Keep the newest usage object, which may lie across chunks."""
        held = self._held
        window = held + chunk if held else chunk
        at = window.rfind(_MARK)
        if at < 0:
            self._held = window[-len(_MARK) :]
            return
        self._seen = window[at : at + _OBJECT_BYTES]
        # Too short to be whole: the next chunk is looked at together with it.
        self._held = window[at:] if len(window) - at < _OBJECT_BYTES else b""

    def _stripped(self, chunk: bytes) -> bytes:
        if self._held:
            chunk = self._held + chunk
            self._held = b""
        end = _end_of_events(chunk)
        if end < len(chunk) and len(chunk) - end <= _MAX_HELD_BYTES:
            self._held = chunk[end:]
            chunk = chunk[:end]
        self.events += chunk.count(b"\n\n")
        return self._without_usage(chunk) if _MARK in chunk else chunk

    def _without_usage(self, chunk: bytes) -> bytes:
        kept = []
        for event in chunk.split(b"\n\n"):
            at = event.find(_MARK)
            if at >= 0 and _COUNTS.search(event, at):
                self._seen = event[at : at + _OBJECT_BYTES]
                if b'"choices":[]' in event:
                    self.events -= 1
                    continue
            kept.append(event)
        return b"\n\n".join(kept)


def _end_of_events(chunk: bytes) -> int:
    """Where the last whole event ends; 0 where none does."""
    if chunk.endswith(b"\n\n"):
        return len(chunk)
    return max(
        at + len(mark) if (at := chunk.rfind(mark)) >= 0 else 0 for mark in (b"\n\n", b"\r\n\r\n")
    )
