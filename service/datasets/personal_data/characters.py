"""Decodes invisible characters, escapes, and entities, and maps positions back to the original.

A value can contain a soft hyphen, or be written as `ann%40example.com` in a URL, or with `\\u0040`
in the arguments of a tool. It is found in the decoded text and replaced in the original.
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
# Further parts of a text are not decoded, because each takes memory.
_MAX_PARTS: Final = 100_000


class _Part(NamedTuple):
    """A character at `at` of a decoded text (or none, if `width` is 0), encoded in [start, end)."""

    at: int
    width: int
    start: int
    end: int


class DecodedText(NamedTuple):
    """A decoded text, and the positions of the decoded parts in the text `before`."""

    text: str
    parts: list[_Part]
    before: DecodedText | None = None

    def locate(self, start: int, end: int) -> tuple[int, int]:
        """Return the position of `text[start:end]` in the original."""
        first, last = self._locate(start)[0], self._locate(end - 1)[1]
        return (first, last) if self.before is None else self.before.locate(first, last)

    def _locate(self, at: int) -> tuple[int, int]:
        number = bisect_right(self.parts, at, key=lambda part: part.at) - 1
        if number < 0:
            return at, at + 1
        part = self.parts[number]
        if part.width and part.at == at:
            return part.start, part.end
        start = part.end + at - part.at - part.width
        return start, start + 1


def remove_invisible(text: str) -> DecodedText | None:
    """Return a text without invisible characters, or None if it has none."""
    if text.isascii() or _INVISIBLE.search(text) is None:
        return None
    found = islice(_INVISIBLE.finditer(text), _MAX_PARTS)
    return _replace_parts(text, (("", *match.span()) for match in found), None)


def decode_escapes(text: str) -> DecodedText | None:
    """Return a text without invisible characters and escapes, or None if it has no escapes."""
    if not _may_be_encoded(text):
        return None
    opened = seen = remove_invisible(text)
    for _ in range(_ROUNDS):
        now = text if opened is None else opened.text
        if not _may_be_encoded(now):
            break
        found = islice(chain.from_iterable(map(_characters, _ENCODED.finditer(now))), _MAX_PARTS)
        again = _replace_parts(now, found, opened)
        if again.text == now:
            break
        opened = again
    return opened if opened is not seen else None


def decode_hidden(text: str) -> list[DecodedText]:
    """Return the text without invisible characters and the decoded text, each if it differs."""
    return [found for found in (remove_invisible(text), decode_escapes(text)) if found is not None]


def readings(text: str) -> list[str]:
    """Return the texts to search instead of a text: the visible text, and the decoded one."""
    seen, opened = remove_invisible(text), decode_escapes(text)
    return [text if seen is None else seen.text, *([] if opened is None else [opened.text])]


def _may_be_encoded(text: str) -> bool:
    return any(map(text.__contains__, "%\\&")) and _ENCODED.search(text) is not None


def _replace_parts(
    text: str, found: Iterable[tuple[str, int, int]], before: DecodedText | None
) -> DecodedText:
    """Return a text with characters in place of the given ranges."""
    pieces: list[str] = []
    parts: list[_Part] = []
    at = length = 0
    for char, start, end in found:
        pieces += (text[at:start], char)
        length += start - at
        parts.append(_Part(length, len(char), start, end))
        length += len(char)
        at = end
    return DecodedText("".join((*pieces, text[at:])), parts, before)


def _characters(match: re.Match[str]) -> Iterator[tuple[str, int, int]]:
    """Yield each encoded character with its position, or "" for an invisible one."""
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
# The characters that `ASCII` changes, except full-width marks that end sentences. Searching for one
# takes a fifth of the time of translating a text.
_FOREIGN = re.compile("[" + "".join(chr(c) for c in ASCII if chr(c) not in "！，．？；") + "ーｰ．]")
_LONG_VOWEL = re.compile(r"(?<=[0-9)])[ーｰ](?=[0-9(])")


def to_ascii(text: str) -> str:
    """Return a text with ASCII digits, letters and hyphens, and unchanged positions.

    The long vowel mark of Japanese (ー) is a hyphen only between digits.
    """
    if text.isascii() or _FOREIGN.search(text) is None:
        return text
    text = text.translate(ASCII)
    return _LONG_VOWEL.sub("-", text) if "ー" in text or "ｰ" in text else text
