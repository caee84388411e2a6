"""Detection of personal data in a text, with the kind and position of each finding.

It finds email addresses, telephone numbers, payment card numbers (by the Luhn check), IBANs,
national IDs with check digits, and names of persons in Japanese (see `person_names`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from stdnum import iban, luhn

from service.datasets.personal_data.national_ids import NATIONAL_IDS
from service.datasets.personal_data.person_names import find_names, may_hold_names


class Found(NamedTuple):
    """A finding: its kind and its position in the text (`text[start:end]`)."""

    kind: str
    start: int
    end: int


_EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b",
    re.ASCII,
)
# A group of seven digits, an Indian PAN, or a Hong Kong ID whose check character is a letter.
# A text without any of these has no number to look for.
_NUMBER = re.compile(
    r"\d(?:[ \-().‐‑‒–—−ー\u3000\u00a0]{0,2}\d){6}|[A-Z]{5}\d{4}[A-Z]|[A-Z]\d{6}\(A\)"
)
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)", re.ASCII)
_IBAN = re.compile(
    r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)", re.ASCII
)
_PHONE = re.compile(r"(?<![\w.\-/])(?:\+\d|\(?0)(?:[ \-().]{0,2}\d){6,14}(?![\w-]|\.\d)", re.ASCII)
_INLAND_PHONE = re.compile(r"(?<![\w.\-/])(?:1[3-9]|[6-9])\d{8,9}(?!\w)", re.ASCII)
# Maps digits of other scripts, full-width letters, and the various hyphens to ASCII. Each
# character maps to exactly one character, so positions stay the same.
_ZEROS = (
    *(0x0660, 0x06F0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66),
    *(0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x17E0, 0x1810),
)
ASCII = str.maketrans(
    {chr(0xFF01 + i): chr(0x21 + i) for i in range(94)}
    | {chr(zero + i): str(i) for zero in _ZEROS for i in range(10)}
    | dict.fromkeys("‐‑‒–—−ー", "-")
    | {"\u3000": " ", "\u00a0": " "}
)
# A form of a telephone number with fewer digits is not added to the spellings to search for.
_MIN_DIGITS = 8
_WORDS_BEFORE = 40  # number of preceding characters searched for a word that introduces an ID

# Prefixes and lengths of common payment cards (Visa, Mastercard, Amex, JCB, UnionPay, …).
_CARD_FORMS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|35\d{14}|62\d{14,17}"
    r"|6(?:011|5\d\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}"
)
_REGIONS: dict[str, tuple[str, ...]] = {
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
_ENGLISH = ("GB", "SG", "IN", "MY", "PH", "AU")


def find_personal_data(text: str, *languages: str) -> list[Found]:
    """Find personal data in a text, in order and without overlaps (see `without_overlap`).

    `languages` are the languages of the conversation that contains the text.
    """
    found = (
        [Found("person_name", *place) for place in find_names(text)] if "ja" in languages else []
    )
    has_number = _NUMBER.search(text) is not None
    if has_number or "@" in text or "＠" in text:
        if not text.isascii():
            text = text.translate(ASCII)
        found += _emails(text)
        if has_number:
            found += _numbers(text, languages)
    return without_overlap(found)


def may_hold_personal_data(text: str) -> bool:
    """Whether a text, in any language, can contain personal data."""
    return _NUMBER.search(text) is not None or "@" in text or "＠" in text or may_hold_names(text)


def without_overlap(found: Iterable[Found]) -> list[Found]:
    """Sort findings by position. If two overlap, keep the earlier one, or else the longer one."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


def spellings(kind: str, value: str, *languages: str) -> set[str]:
    """Return the forms in which a value can be written, as ASCII letters and digits only.

    A telephone number has several forms: with the country code, with the leading zero, and
    with neither, as in a spreadsheet.
    """
    plain = value.translate(ASCII)
    forms = {"".join(c for c in plain.upper() if c.isascii() and c.isalnum())}
    if kind == "phone":
        forms |= _phone_forms(plain, _regions(languages))
    return forms


def _emails(text: str) -> Iterator[Found]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield Found("email", match.start(), match.end())


def _numbers(text: str, languages: tuple[str, ...]) -> Iterator[Found]:
    yield from _national_ids(text, languages)
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if _CARD_FORMS.fullmatch(digits) and luhn.is_valid(digits):
            yield Found("payment_card", match.start(), match.end())
    for match in _IBAN.finditer(text):
        if iban.is_valid(match.group()):
            yield Found("iban", match.start(), match.end())
    yield from _phones(text, languages)


def _national_ids(text: str, languages: tuple[str, ...]) -> Iterator[Found]:
    for kind in NATIONAL_IDS:
        for match in kind.pattern.finditer(text):
            at_home = kind.strong or not kind.languages.isdisjoint(languages)
            if not at_home:
                before = text[max(match.start() - _WORDS_BEFORE, 0) : match.start()]
                at_home = kind.words.search(before) is not None
            if at_home and kind.is_valid(match.group()):
                yield Found(kind.kind, match.start(), match.end())


def _regions(languages: tuple[str, ...]) -> tuple[str, ...]:
    named = [_REGIONS.get(language, _ENGLISH) for language in languages or ("und",)]
    return tuple(dict.fromkeys(region for regions in named for region in regions))


def _phones(text: str, languages: tuple[str, ...]) -> Iterator[Found]:
    regions = _regions(languages)
    inland = not {"zh-Hans", "hi"}.isdisjoint(languages)
    for pattern in (_PHONE, _INLAND_PHONE) if inland else (_PHONE,):
        for match in pattern.finditer(text):
            if _phone_forms(match.group(), regions):
                yield Found("phone", match.start(), match.end())


@lru_cache(maxsize=4096)
def _phone_forms(written: str, regions: tuple[str, ...]) -> frozenset[str]:
    """Return the digits of a telephone number in each form, or nothing if it is invalid."""
    for region in ("ZZ",) if written.startswith("+") else regions:
        try:
            number = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            own = phonenumbers.national_significant_number(number)
            inland = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
            forms = {f"{number.country_code}{own}", re.sub(r"\D", "", inland), own}
            return frozenset(form for form in forms if len(form) >= _MIN_DIGITS)
    return frozenset()
