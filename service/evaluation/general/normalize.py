"""Normalization of written answers, for any script and any width and form of digits."""

from __future__ import annotations

import re
import unicodedata

_THINKING = "<think>", "</think>"
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_MARKUP = re.compile(r"[*`]|(?<!\w)_+|_+(?!\w)")
# The apostrophe of O'Neill and of "dalawampu't" is part of a word; NFKC leaves the curly one.
_APOSTROPHES = str.maketrans("‘’ʼ´", "''''")
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:([.,'\u2009 ])\d{3})(?:\1\d{3})*(?!\d)")
_NO_FRACTION = re.compile(r"(?<=\d)[.,]00?(?!\d)")
_EDGES = " \t\r\n.,;:!?¿¡。、，．；：！？…\"'“”„«»‹›「」『』《》〈〉()[]（）【】·•-–—"


def without_reasoning(text: str) -> str:
    """Return an answer without the reasoning at its start; empty if the reasoning has no end."""
    start, end = _THINKING
    return text.partition(end)[2] if text.lstrip().startswith(start) else text


def plain(text: str) -> str:
    """Return a text without markup and invisible characters, in NFKC.

    Digits of every script become ASCII digits. Upper case remains.
    """
    text = _INVISIBLE.sub("", text)
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES))
    if not text.isascii():
        text = "".join(_ascii_digit(char) for char in text)
    return " ".join(_MARKUP.sub("", text).split())


def trimmed(text: str) -> str:
    """Return `plain(text)` without punctuation at its ends."""
    return plain(text).strip(_EDGES)


def folded(text: str) -> str:
    """Return `plain(text)` in folded case, with numbers written without grouping: 15.000 → 15000.

    A fraction of zeros is dropped, so 12.00 is 12.
    """
    text = _GROUPED.sub(_without_grouping, plain(text).casefold())
    return _NO_FRACTION.sub("", text)


def contains(text: str, phrase: str) -> bool:
    """Whether a folded text contains a folded phrase that is not part of a longer word or number.

    Scripts without spaces between words, and Hangul with its particles, have no such boundary.
    """
    if not phrase:
        return False
    at = text.find(phrase)
    while at >= 0:
        end = at + len(phrase)
        if not (_joined(text[:at][-2:][::-1], phrase[0]) or _joined(text[end:][:2], phrase[-1])):
            return True
        at = text.find(phrase, at + 1)
    return False


def _joined(beyond: str, edge: str) -> bool:
    """Whether a word or number continues past its edge. `beyond` starts with the next character."""
    if not beyond:
        return False
    if edge.isdecimal() and len(beyond) > 1 and beyond[0] in ".," and beyond[1].isdecimal():
        return True
    kind = _kind(edge)
    return kind != "" and _kind(beyond[0]) == kind


_HAN_NUMERALS = frozenset("〇一二三四五六七八九十百千万")


def _kind(char: str) -> str:
    """Return the class of characters that join into one word with `char`; "" if there is none."""
    if char.isdecimal():
        return "digit"
    if char in _HAN_NUMERALS:
        return "han numeral"
    # Letters of the alphabets with spaces: Latin, Greek, Cyrillic, with Vietnamese's additions.
    if char.isalpha() and (char < "\u0590" or "\u1e00" <= char <= "\u1fff"):
        return "letter"
    return "letter" if "\u0300" <= char <= "\u036f" else ""


def _ascii_digit(char: str) -> str:
    value = unicodedata.decimal(char, None)
    return char if value is None else str(value)


def _without_grouping(match: re.Match[str]) -> str:
    return re.sub(r"\D", "", match.group())
