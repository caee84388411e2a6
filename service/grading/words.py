"""Division of a text into words, for metrics that count words."""

from __future__ import annotations

import unicodedata
from typing import Final

# Blocks of scripts that put no spaces between words: Thai, Lao, Tibetan, Myanmar, Khmer, kana, Han.
_UNSPACED: Final = (
    (0x0E00, 0x0FFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)


def words(text: str) -> list[str]:
    """Return the words of a text without case and punctuation.

    In scripts without spaces, every character with its marks counts as a word.
    """
    found: list[str] = []
    word = ""
    for char in unicodedata.normalize("NFKC", text).casefold():
        kind = unicodedata.category(char)[0]
        if kind == "M" and word:
            word += char
        elif kind not in "LNM":
            found.append(word)
            word = ""
        elif is_unspaced(char) or (word and is_unspaced(word[0])):
            found.append(word)
            word = char
        else:
            word += char
    found.append(word)
    return [word for word in found if word]


def is_unspaced(char: str) -> bool:
    """Return whether the character's script puts no spaces between words."""
    return any(first <= ord(char) <= last for first, last in _UNSPACED)
