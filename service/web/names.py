"""Names that people give, which have no hidden characters."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator

_JOINERS: Final = "\u200c\u200d"
# Scripts whose spelling needs joiners, by the first word of their characters' names.
_JOINED: Final = frozenset(
    {"ARABIC", "SYRIAC", "MONGOLIAN", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA"}
    | {"TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "KHMER", "MYANMAR", "TIBETAN"}
)
_SYMBOLS: Final = ("So", "Sk")  # emoji, and the colors of skin
_EMOJI_STYLE: Final = "\ufe0f"
# Control and format characters, halves of pairs, and separators of lines.
_HIDDEN_CATEGORIES: Final = ("Cc", "Cf", "Cs", "Zl", "Zp")
_BLANK: Final = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"


def without_hidden(text: str) -> str:
    """Return a text without its hidden characters."""
    return "".join(char for at, char in enumerate(text) if not _is_hidden(text, at))


def _is_hidden(text: str, at: int) -> bool:
    """Return whether a character is invisible or changes the direction of its surroundings.

    Joiners are not hidden where the spelling needs them, as in Hindi, Persian and emoji.
    """
    char = text[at]
    if char in _JOINERS:
        return not (_is_joined(text[at - 1 : at]) and _is_joined(text[at + 1 : at + 2]))
    return unicodedata.category(char) in _HIDDEN_CATEGORIES or char in _BLANK


def _is_joined(char: str) -> bool:
    if not char or char == _EMOJI_STYLE:
        return bool(char)
    is_symbol = unicodedata.category(char) in _SYMBOLS
    return is_symbol or unicodedata.name(char, "").split(" ", 1)[0] in _JOINED


def _check(name: str) -> str:
    found = next((char for at, char in enumerate(name) if _is_hidden(name, at)), None)
    if found is not None:
        raise ValueError(
            f"a name must not have invisible characters, but it has U+{ord(found):04X}. Remove it."
        )
    if name and not name.strip():
        raise ValueError("a name must have visible characters")
    return name


VisibleName = Annotated[str, AfterValidator(_check)]
"""A name without hidden characters."""
