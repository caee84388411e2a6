"""Texts as a reader or a program sees them: without invisible characters, escapes, and entities.

A value may be written with a soft hyphen, as `ann%40example.com` in an address, or as `\\u0040` in
the arguments of a tool. It is found in what a reader sees, and replaced where it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Final, NamedTuple
from urllib.parse import unquote

_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
)
_ENCODED: Final = re.compile(
    r"(?:%[0-9A-Fa-f]{2})+|\\+(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[\"'/nrt\\])"
    r"|&(?:#\d{1,6}|#[xX][0-9A-Fa-f]{1,5}|[A-Za-z]{2,8});"
)
_SPACES: Final = {"n": "\n", "r": "\r", "t": "\t"}
# An escape inside an escape, as in JSON in a string of JSON.
_ROUNDS: Final = 3


class Revealed(NamedTuple):
    """A text without what hides parts of it, and the place of each character in the original."""

    text: str
    starts: list[int]
    ends: list[int]

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Return the place of `text[start:end]` in the original."""
        return self.starts[start], self.ends[end - 1]


def visible(text: str) -> Revealed | None:
    """Return a text without invisible characters, or None if it has none."""
    if text.isascii() or _INVISIBLE.search(text) is None:
        return None
    kept = [at for at, char in enumerate(text) if not _INVISIBLE.match(char)]
    return Revealed("".join([text[at] for at in kept]), kept, [at + 1 for at in kept])


def decoded(text: str) -> Revealed | None:
    """Return a text without invisible characters and encodings, or None if it has no encoding."""
    if not _may_be_encoded(text):
        return None
    seen = visible(text) or Revealed(text, [*range(len(text))], [*range(1, len(text) + 1)])
    opened = seen
    for _ in range(_ROUNDS):
        if not _may_be_encoded(opened.text):
            break
        again = _decoded(opened)
        if again.text == opened.text:
            break
        opened = again
    return opened if opened is not seen else None


def _may_be_encoded(text: str) -> bool:
    return any(map(text.__contains__, "%\\&")) and _ENCODED.search(text) is not None


def readings(text: str) -> list[str]:
    """Return the texts in which to look for what a text holds: what is seen, and decoded."""
    seen, opened = visible(text), decoded(text)
    return [text if seen is None else seen.text, *([] if opened is None else [opened.text])]


def _decoded(seen: Revealed) -> Revealed:
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for match in _ENCODED.finditer(seen.text):
        parts.append(seen.text[at : match.start()])
        starts += seen.starts[at : match.start()]
        ends += seen.ends[at : match.start()]
        for char, start, end in _characters(match):
            if _INVISIBLE.match(char):
                continue
            parts.append(char)
            starts.append(seen.starts[start])
            ends.append(seen.ends[end - 1])
        at = match.end()
    return Revealed(
        "".join((*parts, seen.text[at:])), starts + seen.starts[at:], ends + seen.ends[at:]
    )


def _characters(match: re.Match[str]) -> Iterator[tuple[str, int, int]]:
    """Yield each character that is encoded, and its place."""
    written, (start, end) = match.group(), match.span()
    plain = written
    if written[0] == "%":
        plain = unquote(written, errors="replace")
        if "\ufffd" not in plain:
            for char in plain:
                size = 3 * len(char.encode())
                yield char, start, start + size
                start += size
            return
        plain = written
    elif written[0] == "&":
        plain = unescape(written)
    else:
        code = written.lstrip("\\")
        plain = (
            chr(int(code[1:], 16)) if code[:1] in ("u", "x") else _SPACES.get(code, code or "\\")
        )
        if "\ud800" <= plain <= "\udfff":
            plain = written
    if len(plain) == 1:
        yield plain, start, end
    else:  # not an encoding after all
        yield from ((char, start + at, start + at + 1) for at, char in enumerate(written))
