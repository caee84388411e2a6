"""Finds names of persons without context, by lists of names per language (`lists/*.toml`).

Each language has its own grammar of names. Ordinary words, streets and shops look like names, so
a name needs a listed part and must not follow a word that announces a place or a company.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from service.datasets.personal_data.kinds import UNKNOWN
from service.datasets.personal_data.names import (
    alone,
    chinese,
    hindi,
    indonesian,
    korean,
    latin,
    thai,
    vietnamese,
)


class _Language(NamedTuple):
    """How to find names in a language, and an RE2 pattern that texts with names match."""

    find: Callable[[str], Iterator[tuple[int, int]]]
    signs: Callable[[], str]


_ALONE: Final = _Language(alone.find_names, alone.signs)
_BY_LATIN: Final = _Language(latin.find_private_names, lambda: latin.SIGNS)
_ENGLISH: Final = _Language(latin.find_english_names, lambda: latin.SIGNS)
_INDONESIAN: Final = _Language(indonesian.find_names, lambda: indonesian.SIGNS)
_VIETNAMESE: Final = _Language(vietnamese.find_names, lambda: vietnamese.SIGNS)
_VIETNAMESE_ELSEWHERE: Final = _Language(vietnamese.find_written_names, lambda: vietnamese.LETTERS)
_CHINESE: Final = _Language(chinese.find_names, chinese.signs)
_BY_LANGUAGE: Final = {
    "en": _ENGLISH,
    "tl": _ENGLISH,
    "hi": _Language(hindi.find_names, hindi.signs),
    "id": _INDONESIAN,
    "ko": _Language(korean.find_names, lambda: korean.SIGNS),
    "ms": _INDONESIAN,
    "th": _Language(thai.find_names, lambda: thai.SIGNS),
    "vi": _VIETNAMESE,
    "zh-Hans": _CHINESE,
    "zh-Hant": _CHINESE,
}
LANGUAGES: Final = tuple(_BY_LANGUAGE)
"""Codes of the languages whose names are found without a title."""
# A text too short to tell its language is searched for the names of all of them.
_ALSO: Final = {UNKNOWN: ("en", "hi", "id", "ko", "th", "vi", "zh-Hans"), "mr": ("hi",)}


_OFFICE: Final = re.compile(
    r"(?<!\w)(?:president|presiden|prime minister|minister|menteri|perdana menteri|gubernur"
    r"|governor|senator"
    r"|king|queen|pope|emperor|chancellor|pangulong?|tổng thống|thủ tướng|chủ tịch nước|ca sĩ"
    r"|diễn viên|cầu thủ"
    r"|penyanyi|aktor|aktris|pahlawan|presidente|ministro|kanzler|präsident|président|राष्ट्रपति|प्रधानमंत्री|मुख्यमंत्री"
    r"|अभिनेता|अभिनेत्री|गायक) $|(?:นายกรัฐมนตรี|ประธานาธิบดี|นักร้อง|นักแสดง|นักเขียน) ?$"
    r"|(?:大統領|首相|总统|總統|主席|总理|總理|歌手|演员|演員|작가|가수|배우|대통령) ?$",
    re.IGNORECASE,
)
"""Offices of people of public life, before their names."""
_OFFICE_CHARS: Final = 20


def find_listed_names(text: str, languages: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions of names of persons in a text: `text[start:end]`, without the title."""
    for language in _languages(tuple(languages)):
        for start, end in language.find(text):
            if _OFFICE.search(text[max(start - _OFFICE_CHARS, 0) : start]) is None:
                yield start, end


def listed_name_signs(languages: Iterable[str]) -> str:
    """Return a pattern that texts with names in the languages match. It may be empty."""
    return "|".join(language.signs() for language in _languages(tuple(languages)))


def contains_listed_name(text: str) -> bool:
    """Return whether a text contains a name in any of the languages."""
    return any(next(language.find(text), None) for language in _languages(LANGUAGES))


@lru_cache(maxsize=256)
def _languages(codes: tuple[str, ...]) -> tuple[_Language, ...]:
    every = (code for one in codes for code in _ALSO.get(one, (one,)))
    own = dict.fromkeys(_BY_LANGUAGE[code] for code in every if code in _BY_LANGUAGE)
    # In these languages, names have Latin letters.
    with_own_rules = _ENGLISH in own or set(own) in ({_INDONESIAN}, {_VIETNAMESE})
    others = (_ALONE,) if with_own_rules else (_BY_LATIN, _ALONE)
    return (*own, *others) if _VIETNAMESE in own else (*own, *others, _VIETNAMESE_ELSEWHERE)
