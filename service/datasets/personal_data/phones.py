"""Telephone numbers: their validation by numbering plans, and what the words around them say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from service.datasets.personal_data.clues import phone_clue

# A form of a telephone number with fewer digits is not added to the spellings to search for.
_MIN_DIGITS: Final = 8
_END: Final = r"(?![\w-]|\.\d)"
_START: Final = r"(?<![\w.\-/#])"
# Numbers with a country code or a leading zero; then numbers without either, which need a word
# before them, except for mobile numbers in China and India.
_PHONE: Final = re.compile(_START + r"(?:\+\d|\(?0)(?:[ \-.()]{0,2}\d){6,14}" + _END, re.ASCII)
_SHORT: Final = re.compile(_START + r"\(?[1-9](?:[ \-.()]{0,2}\d){7,10}" + _END, re.ASCII)
_MOBILE: Final = re.compile(r"1[3-9]\d[ -]?\d{4}[ -]?\d{4}|[6-9]\d{4}[ -]?\d{5}", re.ASCII)
_ZERO: Final = re.compile(r"(\+\d{1,3}[ \-.]?)\(0\)")
_DIALED: Final = re.compile(r"(?:001[03]?|002|008|009|0011|010|011|00)[ \-.]?(?=[1-9])")
_DATE: Final = re.compile(r"0?\d{1,2}[-. ]\d{1,2}[-. ](?:19|20)\d\d(?: \d{1,2}){0,2}")

_REGIONS: Final[dict[str, tuple[str, ...]]] = {
    "ja": ("JP",),
    "ko": ("KR",),
    "zh-Hans": ("CN",),
    "zh-Hant": ("TW", "HK"),
    "th": ("TH",),
    "vi": ("VN",),
    "id": ("ID",),
    "ms": ("MY",),
    "tl": ("PH",),
    "hi": ("IN",),
    "de": ("DE", "AT", "CH"),
    "fr": ("FR",),
    "es": ("ES",),
    "it": ("IT",),
    "nl": ("NL",),
    "pt": ("BR", "PT"),
}
# English is used everywhere, so a national number in an English text is valid if it is valid
# in any of these regions.
_ENGLISH: Final = ("GB", "SG", "IN", "MY", "PH", "AU", "US")
_ALL: Final = tuple(
    dict.fromkeys(region for regions in (*_REGIONS.values(), _ENGLISH) for region in regions)
)


class Phone(NamedTuple):
    """A telephone number at `text[start:end]`. It is only possible if no word announces it."""

    start: int
    end: int
    possible: bool


def find_phones(text: str, languages: tuple[str, ...]) -> Iterator[Phone]:
    """Find telephone numbers in a text that was translated to ASCII digits and marks.

    A number after a word such as "phone" counts if it is valid in any known region, and a number
    after a word such as "order" does not. Without a word, it counts if it has a country code or
    is grouped; a bare run of digits is only possible.
    """
    at_home = regions_of(languages)
    inland = not {"zh-Hans", "hi"}.isdisjoint(languages)
    for pattern in (_PHONE, _SHORT):
        for match in pattern.finditer(text):
            start, end = match.span()
            written = match.group()
            clue = phone_clue(text, start, end)
            if clue == "other" or _DATE.fullmatch(written):
                continue
            if clue == "phone":
                if forms_of(written, at_home) or forms_of(written, _ALL):
                    yield Phone(start, end, possible=False)
            elif pattern is _PHONE or (inland and _MOBILE.fullmatch(written)):
                if forms_of(written, at_home):
                    yield Phone(start, end, possible=written.isdigit())
                elif not written.isdigit() and forms_of(written, _ALL):
                    yield Phone(start, end, possible=True)


def regions_of(languages: tuple[str, ...]) -> tuple[str, ...]:
    """Return the regions whose numbering plans apply to a text in these languages."""
    named = [_REGIONS.get(language, _ENGLISH) for language in languages or ("und",)]
    return tuple(dict.fromkeys(region for regions in named for region in regions))


def phone_forms(written: str, languages: tuple[str, ...]) -> frozenset[str]:
    """Return the digits of a telephone number in each form, or nothing if it is invalid."""
    return forms_of(written, regions_of(languages)) or forms_of(written, _ALL)


@lru_cache(maxsize=8192)
def forms_of(written: str, regions: tuple[str, ...]) -> frozenset[str]:
    """Return the digits of a telephone number in each form if it is valid in one of `regions`."""
    plain = _ZERO.sub(r"\1", written)
    forms = _valid_forms(plain, regions)
    if not forms and (dialed := _DIALED.match(plain)):
        forms = _valid_forms("+" + plain[dialed.end() :], ())
    if not forms:
        return frozenset()
    digits = re.sub(r"\D", "", written)
    return frozenset(form for form in {*forms, digits} if len(form) >= _MIN_DIGITS)


def _valid_forms(written: str, regions: tuple[str, ...]) -> set[str]:
    import phonenumbers  # most data sets contain nothing that looks like a telephone number

    for region in ("ZZ",) if written.startswith("+") else regions:
        try:
            number = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            own = phonenumbers.national_significant_number(number)
            inland = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
            code = number.country_code
            return {f"{code}{own}", f"{code}0{own}", re.sub(r"\D", "", inland), own}
    return set()
