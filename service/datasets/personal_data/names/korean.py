"""Finds Korean names of persons, in Hangul or romanized.

A family name of one syllable, and a listed given name of two. Many words have the same form, such
as 정기권 and 이용자, so a particle or the end of the word must follow. Next to a word that only
persons have, such as 드림 under a letter, any syllables of given names are enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from service.datasets.personal_data.names.word_lists import listed

FAMILIES: Final = (
    "김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차"
    "주우구민진나지엄채원천방공현변염추도소석설길연위표명기반라왕금옥"
)
"""Korean family names of one syllable, the frequent ones first."""
_PARTICLES: Final = (
    "이|가|은|는|을|를|의|도|만|와|과|랑|이랑|로|으로|에|에서|에게|에게서|에게는|에게도"
    "|한테|한테는|한테서|께|께서|께는|입니다|이에요|예요|이예요|이라고|라고|이고|이며|인데"
    "|이나|까지|부터|처럼|보다|씨|씨가|씨는|씨의|님|님이|님은|님의|님께"
)
_LONG_FAMILY: Final = "남궁|황보|선우|제갈|사공|독고"
_WORD: Final = re.compile(
    rf"(?<![가-힣])(?:(?:{_LONG_FAMILY})[가-힣]{{1,2}}|[{FAMILIES}][가-힣]{{2}})"
    rf"(?=({_PARTICLES})?(?![가-힣]))"
)
SIGNS: Final = (
    rf"[{FAMILIES}][가-힣]{{2}}|{_LONG_FAMILY}|-[A-Za-z][a-z]"
    rf"|[가-힣]{{2}} ?(?:님|씨|[아야][,!~ ]|이[가는도랑])"
)
"""A family name with a given name, in Hangul, or the hyphen of a romanized one."""
_GIVEN: Final = re.compile(
    r"(?<![가-힣])([가-힣]{2})(?= ?(?:님|씨|양|군)(?![가-힣]{3})|[아야](?=[,!~ ])|이(?:가|는|도|랑"
    r"|한테|를|네)(?![가-힣]))"
)
_LONG: Final = re.compile(rf"(?:{_LONG_FAMILY})[가-힣]")
# Endings of given names that are also particles: 설정은 is a name, or "the settings".
_WEAK: Final = ("은", "나")
_AFTER: Final = re.compile(
    r" ?(?:드림|올림|배상|귀하|환자|학생|선생님|과장|대리|부장|팀장|차장|씨|님)(?![가-힣]{3})"
)
_BEFORE: Final = re.compile(
    r"(?:예약자|수령인|수취인|받는 ?(?:사람|분)|보내는 ?(?:사람|분)|입금자명?|작성자|담당자"
    r"|상담원|계약자|신청자|학부모|보호자|대표|참석자|친구|동생|남편|아내|동료|성함|이름)"
    r"(?:은|는|이|가|:)? ?$"
)
_BEFORE_CHARS: Final = 12
_ROMAN_FAMILY: Final = (
    "Kim|Lee|Park|Choi|Jung|Jeong|Kang|Cho|Jo|Yoon|Yun|Jang|Lim|Im|Han|Oh|Seo|Shin|Kwon|Hwang|Ahn"
    "|Song|Ryu|Yoo|Yu|Hong|Jeon|Ko|Moon|Yang|Son|Bae|Baek|Heo|Nam|Noh|Ha|Kwak|Sung|Cha|Joo"
    "|Ju|Woo|Min|Na|Jin|Ji|Um|Won|Chun|Bang|Gong|Hyun|Ham|Byun|Yeom|Pyo|Koo|Gu"
)
_ROMAN_GIVEN: Final = "[A-Z][a-z]{1,6}-[A-Za-z][a-z]{1,6}"
_ROMAN: Final = re.compile(
    rf"(?<![A-Za-z-])(?:(?:{_ROMAN_FAMILY}),? {_ROMAN_GIVEN}"
    rf"|{_ROMAN_GIVEN} (?:{_ROMAN_FAMILY}))(?![A-Za-z-])"
)


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of Korean names, in Hangul or romanized: `text[start:end]`."""
    for match in _WORD.finditer(text):
        start, end = match.span()
        if _is_name(match.group(), particle=match.group(1)) or (
            _is_like_name(match.group()) and _is_next_to_person_word(text, start, end)
        ):
            yield start, end
    for match in _GIVEN.finditer(text):
        if match[1] in listed("korean", "given"):
            yield match.span(1)
    if "-" in text:
        for match in _ROMAN.finditer(text):
            yield match.span()


def _is_name(word: str, *, particle: str | None) -> bool:
    given = word[-2:]
    if given not in listed("korean", "given") or word in listed("korean", "words"):
        return _LONG.fullmatch(word) is not None and word[-1] in _syllables()[1]
    return particle is not None or not given.endswith(_WEAK)


def _is_like_name(word: str) -> bool:
    first, second = _syllables()
    return word[-2] in first and word[-1] in second and word not in listed("korean", "words")


def _is_next_to_person_word(text: str, start: int, end: int) -> bool:
    before = text[max(start - _BEFORE_CHARS, 0) : start]
    return _AFTER.match(text, end) is not None or _BEFORE.search(before) is not None


@cache
def _syllables() -> tuple[frozenset[str], frozenset[str]]:
    """Return the first and the second syllables of given names."""
    given = listed("korean", "given")
    return frozenset(name[0] for name in given), frozenset(name[1:] for name in given)
