"""Division of a text into the units that metrics count."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Blocks of scripts that put no spaces between words: Thai, Lao, Tibetan, Myanmar, Khmer, kana, Han.
_UNSPACED: Final = re.compile(
    "["
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U000323af"
    "]"
)
_WIDE: Final = re.compile("[\uff01-\uff9f\uffe0-\uffee]+")
_VARIATION: Final = re.compile("[\ufe0e\ufe0f]")
_LINE_MARKUP: Final = re.compile(r"^[ \t]*(?:(?:#{1,6}|[-*>])[ \t]+(?![ \t\d]))+", re.MULTILINE)

# ASCII punctuation of prose and Markdown that may surround a word.
_OPENING: Final = "(\"'_`"
_CLOSING: Final = ".,;:!?)\"'_`"
_EMPHASIS: Final = "*~"
_WITHIN: Final = frozenset("-'")
_SIGNS: Final = frozenset("§¶‰‱†‡※′″")  # punctuation to Unicode, and yet part of what is said


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, and the symbols, signs and operators.

    In scripts without spaces, every character with its marks counts as a word. Punctuation of prose
    and Markdown around words does not count, unless the text has nothing else.
    """
    normal = narrow(_VARIATION.sub("", text)).lower()
    visible = "".join(char for char in normal if unicodedata.category(char) != "Cf")
    found: list[str] = []
    left, marks = " ", ""  # the character before the marks, and the marks before `char`
    for char in _LINE_MARKUP.sub("", visible) + " ":
        kind = unicodedata.category(char)[0]
        if kind in "PS":
            marks += char
            continue
        found += _counted(left, marks, char)
        if kind not in "LNM":
            left = " "
        elif not marks and _continues(left, char, kind):
            found[-1] += char
            left = left if kind == "M" else char
        else:
            found.append(char)
            left = char
        marks = ""
    return found or [char for char in visible if not char.isspace()]


def spaced(text: str) -> str:
    """Return the text with spaces around each character of a script that has none."""
    parts: list[str] = []
    left = ""
    for char in text:
        is_mark = unicodedata.category(char).startswith("M")
        if not is_mark and (_UNSPACED.match(left) or _UNSPACED.match(char)):
            parts.append(" ")
        parts.append(char)
        left = char
    return "".join(parts)


def narrow(text: str) -> str:
    """Return the text in NFC, with full-width and half-width characters in their usual form.

    NFKC would make x² and x2 equal.
    """
    usual = _WIDE.sub(lambda wide: unicodedata.normalize("NFKC", wide[0]), text)
    return unicodedata.normalize("NFC", usual)


def _continues(left: str, char: str, kind: str) -> bool:
    """Return whether a letter, digit or mark belongs to the word of the character before it."""
    if left == " " or kind == "M":
        return left != " "
    return not _UNSPACED.match(left) and not _UNSPACED.match(char)


def _counted(left: str, marks: str, right: str) -> list[str]:
    """Return those of the marks between two characters that count as words."""
    starts, ends = (not _is_word(char) or bool(_UNSPACED.match(char)) for char in (left, right))
    if marks in _WITHIN and left.isalpha() and right.isalpha():
        return []
    if starts:
        marks = marks.lstrip(_OPENING if ends else _OPENING + _EMPHASIS)
    if ends:
        marks = marks.rstrip(_CLOSING if starts else _CLOSING + _EMPHASIS)
    return [mark for mark in marks if not _is_foreign_prose(mark, right)]


def _is_word(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNM"


def _is_foreign_prose(mark: str, right: str) -> bool:
    """Return whether a mark outside of ASCII is punctuation of prose."""
    kind = unicodedata.category(mark)
    if mark.isascii() or mark in _SIGNS or not kind.startswith("P"):
        return False
    return kind != "Pd" or not right.isdigit()
