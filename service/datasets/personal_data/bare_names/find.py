"""Finds names of persons without context, by the lists of each language."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from service.datasets.personal_data.bare_names import indonesian, korean, thai, vietnamese

_BY_LANGUAGE: Final[dict[str, Callable[[str], Iterator[tuple[int, int]]]]] = {
    "id": indonesian.find_names,
    "ko": korean.find_names,
    "ms": indonesian.find_names,
    "th": thai.find_names,
    "vi": vietnamese.find_names,
}
_SIGNS: Final = {
    "id": indonesian.SIGNS,
    "ko": korean.SIGNS,
    "ms": indonesian.SIGNS,
    "th": thai.SIGNS,
    "vi": vietnamese.SIGNS,
}
LANGUAGES: Final = tuple(_BY_LANGUAGE)
"""Codes of the languages whose names are found without a title."""


def find_bare_names(text: str, languages: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions of names of persons in a text: `text[start:end]`, without the title."""
    for find in dict.fromkeys(_BY_LANGUAGE[code] for code in languages if code in _BY_LANGUAGE):
        yield from find(text)


def bare_name_signs(languages: Iterable[str]) -> str:
    """Return a pattern of what names have in the languages. It may be empty."""
    return "|".join(dict.fromkeys(_SIGNS[code] for code in languages if code in _SIGNS))


def may_hold_bare_name(text: str) -> bool:
    """Whether a text contains a name in one of the languages."""
    return any(next(find(text), None) for find in dict.fromkeys(_BY_LANGUAGE.values()))
