"""Splits texts into words, and into terms for a search index.

Chinese, Japanese, Thai, Lao, Khmer, Burmese, and Tibetan are written without spaces between
words. Their units are characters, with their vowel signs and tone marks, and their terms are runs
of characters, which need no dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from service.datasets.duplicates.minhash import normalize

_WIDE = (
    "\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U000323af"
)
# Thai, Lao, Tibetan, Burmese, and Khmer, without their digits and punctuation.
_STACKED = (
    "\u0e01-\u0e2e\u0e30-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0f40-\u0fbc\u1000-\u103f"
    "\u1050-\u108f\u1780-\u17d3"
)
_HANGUL = re.compile("[\uac00-\ud7a3]")
_IS_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_IS_WIDE, _IS_STACKED = re.compile(f"[{_WIDE}]"), re.compile(f"[{_STACKED}]")
# Characters in words: a word has about two Chinese or Japanese characters, and about three Thai
# ones with their marks.
_WIDE_WORTH, _STACKED_WORTH = 0.5, 0.3
_RUN = {"wide": 2, "stacked": 3}


def units(text: str) -> list[str]:
    """Split a text into words, or into characters where the script has no spaces.

    Units are normalized: NFKC, in folded case, with ASCII digits, without punctuation.
    """
    return [unit for kind, part in _parts(text) for unit in _split(kind, part)]


def worth(unit: str) -> float:
    """Return the length of a unit in words: 1 for a word, less for a character."""
    if _IS_WIDE.match(unit):
        return _WIDE_WORTH
    return _STACKED_WORTH if _IS_STACKED.match(unit) else 1.0


def terms(text: str) -> list[str]:
    """Return the terms of a text for a search index, in order and with repetitions.

    A term is a word, or a run of two characters (Chinese, Japanese, Korean) or three (Thai and
    its neighbors). Korean words are split because their endings vary, and single Chinese
    characters are terms as well, because many are words.
    """
    found: list[str] = []
    for kind, part in _parts(text):
        if kind != "word":
            characters = _split(kind, part)
            found += _runs(characters, _RUN[kind])
            if len(characters) > 1:
                found += [char for char in characters if _IS_HAN.match(char)]
        elif _HANGUL.match(part):
            found += _runs(list(part), 2)
        else:
            found.append(part)
    return found


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield the stretches of one kind of script: "wide", "stacked", or a "word"."""
    for match in _pattern().finditer(normalize(text)):
        kind = str(match.lastgroup)
        part = match.group()
        yield kind, part if part.isascii() else _with_ascii_digits(part)


def _split(kind: str, part: str) -> list[str]:
    if kind == "word":
        return [part]
    return list(part) if kind == "wide" else _clusters().findall(part)


def _runs(characters: list[str], length: int) -> list[str]:
    if len(characters) <= length:
        return ["".join(characters)]
    return ["".join(characters[at : at + length]) for at in range(len(characters) - length + 1)]


def _with_ascii_digits(text: str) -> str:
    values = ((char, unicodedata.decimal(char, None)) for char in text)
    return "".join(char if value is None else str(value) for char, value in values)


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    # Combining marks and joiners are part of words, but `\w` does not match them.
    word = rf"(?:(?![{_WIDE}{_STACKED}])[\w{_marks()}\u200c\u200d])+"
    return re.compile(rf"(?P<wide>[{_WIDE}]+)|(?P<stacked>[{_STACKED}]+)|(?P<word>{word})")


@lru_cache(maxsize=1)
def _clusters() -> re.Pattern[str]:
    return re.compile(f".[{_marks()}]*", re.DOTALL)


@lru_cache(maxsize=1)
def _marks() -> str:
    """Return a character class of all combining marks of the basic plane."""
    return "".join(chr(c) for c in range(0x300, 0xFE30) if unicodedata.category(chr(c))[0] == "M")
