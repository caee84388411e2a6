"""Whether a passage supports an answer, as far as words show it: numbers, names, and echoes."""

from __future__ import annotations

import unicodedata
from typing import Final

from service.datasets.duplicates.compare import decisive_terms, names, parse_text
from service.datasets.duplicates.minhash import normalize
from service.datasets.duplicates.wording import strip_punctuation
from service.datasets.text.segments import units
from service.generation.answers import Pair
from service.verdict.answer_facts import numbers

_COPIED: Final = 0.9  # share of a passage that an answer must not repeat
# From this share of capitalized words, a language gives all nouns a capital letter, as German does.
_NOUNS: Final = 0.2
# Facts that an answer may have as grammar alone.
_GRAMMAR_WORDS: Final = """
no not never none nothing neither nor without unless except one first second half am pm may
tidak bukan belum tanpa satu không chưa một nein nicht kein keine keinen pas sans sin
不 没 沒 未 非 无 無 ない なし ません 없 않 못 아니 หนึ่ง
"""
_GRAMMAR: Final = frozenset(_GRAMMAR_WORDS.split())


def missing_facts(pair: Pair, passage: str) -> frozenset[str]:
    """Return the facts of an answer that are neither in the passage nor in the question."""
    given, answer = (_plain(text) for text in (f"{passage}\n{pair.question}", pair.answer))
    lacking = numbers(answer) - numbers(given)
    folded = given.casefold()
    named = set(decisive_terms(strip_punctuation(normalize(answer)))) - _GRAMMAR
    if not _capitalizes_nouns(given):
        named |= names(answer)
    return frozenset(lacking | {name for name in named if name not in folded})


def _capitalizes_nouns(text: str) -> bool:
    return len(names(text)) > _NOUNS * len(set(units(text)))


def is_echo(pair: Pair, passage: str) -> bool:
    """Whether the answer repeats the question or the whole passage."""
    answer, asked, text = (parse_text(t).said for t in (pair.answer, pair.question, passage))
    return answer == asked or (answer in text and len(answer) >= _COPIED * len(text))


def _plain(text: str) -> str:
    """Return a text in NFKC, with ASCII digits."""
    text = unicodedata.normalize("NFKC", text)
    if text.isascii():
        return text
    values = ((char, unicodedata.decimal(char, None)) for char in text)
    return "".join(char if value is None else str(value) for char, value in values)
