"""Texts as a reader or a program sees them: without invisible characters, escapes, and entities.

A value may be written with a soft hyphen, as `ann%40example.com` in an address, or as `\\u0040` in
the arguments of a tool. It is found in what a reader sees, and replaced where it is written.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from html import unescape
from itertools import chain, islice
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
# More parts of a text than this are left as they are, since each takes memory.
_MAX_PARTS: Final = 100_000


class _Part(NamedTuple):
    """The character at `at` of a revealed text, or none, written as `text[start:end]` before."""

    at: int
    width: int
    start: int
    end: int


class Revealed(NamedTuple):
    """A text without what hides parts of it, and the places of these parts in the text `before`."""

    text: str
    parts: list[_Part]
    before: Revealed | None = None

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Return the place of `text[start:end]` in the original."""
        first, last = self._place(start)[0], self._place(end - 1)[1]
        return (first, last) if self.before is None else self.before.place(first, last)

    def _place(self, at: int) -> tuple[int, int]:
        number = bisect_right(self.parts, at, key=lambda part: part.at) - 1
        if number < 0:
            return at, at + 1
        part = self.parts[number]
        if part.width and part.at == at:
            return part.start, part.end
        start = part.end + at - part.at - part.width
        return start, start + 1


def visible(text: str) -> Revealed | None:
    """Return a text without invisible characters, or None if it has none."""
    if text.isascii() or _INVISIBLE.search(text) is None:
        return None
    found = islice(_INVISIBLE.finditer(text), _MAX_PARTS)
    return _revealed(text, (("", *match.span()) for match in found), None)


def decoded(text: str) -> Revealed | None:
    """Return a text without invisible characters and encodings, or None if it has no encoding."""
    if not _may_be_encoded(text):
        return None
    opened = seen = visible(text)
    for _ in range(_ROUNDS):
        now = text if opened is None else opened.text
        if not _may_be_encoded(now):
            break
        found = islice(chain.from_iterable(map(_characters, _ENCODED.finditer(now))), _MAX_PARTS)
        again = _revealed(now, found, opened)
        if again.text == now:
            break
        opened = again
    return opened if opened is not seen else None


def reveal_hidden(text: str) -> list[Revealed]:
    """Return the texts that a text hides, each if it differs: what is seen, and decoded."""
    return [found for found in (visible(text), decoded(text)) if found is not None]


def readings(text: str) -> list[str]:
    """Return the texts in which to look for what a text holds: what is seen, and decoded."""
    seen, opened = visible(text), decoded(text)
    return [text if seen is None else seen.text, *([] if opened is None else [opened.text])]


def _may_be_encoded(text: str) -> bool:
    return any(map(text.__contains__, "%\\&")) and _ENCODED.search(text) is not None


def _revealed(
    text: str, found: Iterable[tuple[str, int, int]], before: Revealed | None
) -> Revealed:
    """Return a text in which characters replace the places that are found."""
    pieces: list[str] = []
    parts: list[_Part] = []
    at = length = 0
    for char, start, end in found:
        pieces += (text[at:start], char)
        length += start - at
        parts.append(_Part(length, len(char), start, end))
        length += len(char)
        at = end
    return Revealed("".join((*pieces, text[at:])), parts, before)


def _characters(match: re.Match[str]) -> Iterator[tuple[str, int, int]]:
    """Yield each character that is encoded, and its place. An invisible one is an empty text."""
    written, (start, end) = match.group(), match.span()
    if written[0] == "%":
        plain = unquote(written, errors="replace")
        if "\ufffd" in plain:
            return
        for char in plain:
            size = 3 * len(char.encode())
            yield _INVISIBLE.sub("", char), start, start + size
            start += size
        return
    if written[0] == "&":
        plain = unescape(written)
    else:
        code = written.lstrip("\\")
        is_code = code[:1] in ("u", "x")
        plain = chr(int(code[1:], 16)) if is_code else _SPACES.get(code, code or "\\")
    if len(plain) == 1 and not "\ud800" <= plain <= "\udfff":
        yield _INVISIBLE.sub("", plain), start, end


# Maps digits of other scripts, full-width letters, and the various hyphens to ASCII. Each
# character maps to exactly one character, so positions stay the same.
_ZEROS = (
    *(0x0660, 0x06F0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66),
    *(0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x17E0, 0x1810),
)
ASCII = str.maketrans(
    {chr(0xFF01 + i): chr(0x21 + i) for i in range(94)}
    | {chr(zero + i): str(i) for zero in _ZEROS for i in range(10)}
    | dict.fromkeys("‐‑‒–—―−﹣─", "-")
    | {"\u3000": " ", "\u00a0": " "}
)
# What `ASCII` changes, without the full-width marks that end sentences: to look for one of these
# takes a fifth of the time that it takes to replace them.
_FOREIGN = re.compile("[" + "".join(chr(c) for c in ASCII if chr(c) not in "！，．？；") + "ーｰ．]")
_LONG_VOWEL = re.compile(r"(?<=[0-9)])[ーｰ](?=[0-9(])")


def to_ascii(text: str) -> str:
    """Return a text with ASCII digits, letters and hyphens, and each character in its place.

    The long vowel mark of Japanese (ー) is a hyphen only between digits.
    """
    if text.isascii() or _FOREIGN.search(text) is None:
        return text
    text = text.translate(ASCII)
    return _LONG_VOWEL.sub("-", text) if "ー" in text or "ｰ" in text else text
