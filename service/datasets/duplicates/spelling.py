"""Spellings of the same words and numbers: what may replace each other without any difference."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_NUMBER_WORDS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
"""
_TEN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS, _TENS = _NUMBER_WORDS.split(), _TEN_WORDS.split()
_NUMBER = re.compile(
    rf"\b(?:({'|'.join(_TENS)})(?: ({'|'.join(_NUMBERS[1:10])}))?|({'|'.join(_NUMBERS)}))\b"
)
_VALUES = {word: value for value, word in enumerate(_NUMBERS)}
_VALUES |= {word: value for value, word in zip(range(20, 100, 10), _TENS, strict=True)}
# Words of which each means the same as the first of its line.
_SYNONYMS = """
large big
small little
gray grey
% percent pct
$ dollars dollar usd
€ euros euro eur
软件 应用
""".strip().split("\n")
_SAME = {word: words.split()[0] for words in _SYNONYMS for word in words.split()[1:]}
_OTHER_DIGIT = re.compile(r"[^\D0-9]")
# British and American spellings, in words that are long enough not to be others.
_VARIANTS = (
    (re.compile(r"(?<=\w{2})our"), "or"),
    (re.compile(r"(?<=\w{3})is(?=(?:e[ds]?|ers?|ing|ations?)$)"), "iz"),
    (re.compile(r"(?<=\w{3})ys(?=(?:e[dsr]?|ing)$)"), "yz"),
    (re.compile(r"(?<=\w{2})tre(?=s?$)"), "ter"),
    (re.compile(r"(?<=\w{3})ogue(?=s?$)"), "og"),
    (re.compile(r"(?<=\w{4})ll(?=(?:ed|ing|ers?)$)"), "l"),
    (re.compile(r"(?<=\w{3})ence$"), "ense"),
)


def canonical(words: list[str]) -> list[str]:
    """Return words with numbers in ASCII digits, and one of the words that mean the same."""
    if not _VALUES.keys().isdisjoint(words):
        words = _NUMBER.sub(_in_digits, " ".join(words)).split()
    if not _SAME.keys().isdisjoint(words):
        words = [_SAME.get(word, word) for word in words]
    return words


def ascii_digits(text: str) -> str:
    """Return a text with the digits of other scripts as ASCII."""
    return _OTHER_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)


def _in_digits(match: re.Match[str]) -> str:
    return str(sum(_VALUES[word] for word in match.groups() if word))


def are_same(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """Whether two runs of words or characters differ in their spelling at most."""
    one, other = "".join(old), "".join(new)
    return one == other or spelled(one) == spelled(other)


@lru_cache(maxsize=4096)
def spelled(word: str) -> str:
    """Return a word in one of its spellings. It is not always right, but equal for all of them."""
    for pattern, replacement in _VARIANTS:
        word = pattern.sub(replacement, word)
    return _SAME.get(word, word)
