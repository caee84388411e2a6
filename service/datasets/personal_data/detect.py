"""Detects personal data in a text, with the kind and position of each finding.

Check digits or a numbering plan, the words before a number (its clue), and the language of the text
confirm a number. A number that nothing confirms is reported separately, as possible.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from service.datasets.personal_data import (
    credentials,
    emails_and_ips,
    labeled,
    national_ids,
)
from service.datasets.personal_data.addresses import address_signs, find_addresses
from service.datasets.personal_data.characters import to_ascii
from service.datasets.personal_data.credentials import find_secrets
from service.datasets.personal_data.emails_and_ips import (
    find_emails,
    find_ip_addresses,
    plain_email,
)
from service.datasets.personal_data.kinds import TURN_END, CustomKinds, re2_options
from service.datasets.personal_data.labeled import find_labeled
from service.datasets.personal_data.model_findings import key_of
from service.datasets.personal_data.names.by_list import (
    contains_listed_name,
    find_listed_names,
    listed_name_signs,
)
from service.datasets.personal_data.names.by_pattern import (
    find_names_by_pattern,
    may_name_someone,
    name_signs,
)
from service.datasets.personal_data.names.japanese import (
    find_names,
    japanese_signs,
    may_hold_names,
)
from service.datasets.personal_data.names.latin import find_latin_names
from service.datasets.personal_data.names.word_lists import is_public
from service.datasets.personal_data.national_ids import NATIONAL_IDS, NationalId, find_passports
from service.datasets.personal_data.phones import (
    CARD,
    clue,
    find_phones,
    is_labeled,
    is_labeled_other,
    phone_forms,
)
from service.datasets.personal_data.tables import find_cells

NUMBER_SIGNS: Final = r"\d(?:[ \-().]{0,3}\d){6}|[A-Za-z](?:[A-Za-z]{4}\d{4}[A-Za-z]|\d{6} ?\(?A)"
"""A group of at least seven digits, or a number that contains letters."""
# Without room for a single state, the automaton silently finds nothing. All signs together take a
# hundredth of this.
_AUTOMATON_BYTES: Final = 256 * 1024 * 1024


class Signs(NamedTuple):
    """Whether texts may contain each kind of personal data."""

    secrets: bool = False
    listed_names: bool = False
    announced_names: bool = False
    japanese_names: bool = False
    emails: bool = False
    addresses: bool = False
    ip_addresses: bool = False
    passports: bool = False
    labeled: bool = False
    numbers: bool = False


_NONE: Final = Signs()
# Their patterns count characters. In one automaton, the states for that would multiply, and a
# process would take half a second longer to build them.
_APART: Final = ("secrets", "labeled")


def signs_in(texts: Iterable[str], languages: Iterable[str]) -> Signs:
    """Look for signs in texts of the given languages."""
    text = to_ascii("\n".join(texts)).encode("utf-8", "replace")
    found = [
        kinds[index]
        for searched, kinds in _sign_patterns(tuple(languages))
        for index in searched.Match(text) or ()
    ]
    return _NONE._replace(**dict.fromkeys(found, True)) if found else _NONE


@lru_cache(maxsize=256)
def _sign_patterns(languages: tuple[str, ...]) -> list[tuple[Any, list[str]]]:
    """Return the sets of patterns to search for, with the kinds of their patterns."""
    import re2

    patterns = {
        "secrets": credentials.SIGNS,
        "listed_names": listed_name_signs(languages),
        "announced_names": name_signs(languages),
        "japanese_names": japanese_signs(languages),
        "emails": emails_and_ips.EMAIL_SIGNS,
        "addresses": address_signs(languages),
        "ip_addresses": emails_and_ips.IP_SIGNS,
        "passports": national_ids.SIGNS,
        "labeled": labeled.SIGNS,
        "numbers": NUMBER_SIGNS,
    }
    sets: list[tuple[Any, list[str]]] = []
    others = [kind for kind, pattern in patterns.items() if pattern and kind not in _APART]
    for kinds in (others, *([kind] for kind in _APART)):
        searched = re2.Set.SearchSet(re2_options(_AUTOMATON_BYTES))
        for kind in kinds:
            searched.Add(patterns[kind])
        searched.Compile()
        sets.append((searched, kinds))
    return sets


class Found(NamedTuple):
    """A finding: its kind and its position in the text (`text[start:end]`)."""

    kind: str
    start: int
    end: int


class DetectedData(NamedTuple):
    """The personal data in a text, and possible personal data: numbers that nothing confirms."""

    certain: list[Found]
    possible: list[Found]


_NOTHING: Final = DetectedData([], [])

_LONG_NUMBER = re.compile(NUMBER_SIGNS, re.ASCII)
_DIGIT = re.compile(r"\d")
_RUN = re.compile(r"\d(?:[ \-.()]{0,3}\d)*", re.ASCII)
_LETTER_AND_DIGIT = re.compile(r"[A-Za-z]\d", re.ASCII)
_DIGIT_OR_AT = re.compile(r"\d|[@＠]|PRIVATE KEY| dot |アット|\bat[)\]]")
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)", re.ASCII)
_IBAN = re.compile(
    r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)", re.ASCII
)
# Prefixes and lengths of common payment cards (Visa, Mastercard, Amex, JCB, UnionPay, …).
_CARD_FORMS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|35\d{14}|62\d{14,17}"
    r"|6(?:011|5\d\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}"
)
# Characters of the previous message to search for a word that announces a number.
_BEFORE_CHARS: Final = 120


def find_personal_data(text: str, *languages: str, before: str = "") -> list[Found]:
    """Find personal data in a text, in order and without overlaps (see `without_overlap`).

    `languages` are the languages of the conversation that contains the text, and `before` is the
    message before it: a question may announce the number that the text answers with.
    """
    return find_all(text, *languages, before=before).certain


def find_all(
    text: str,
    *languages: str,
    before: str = "",
    custom: CustomKinds | None = None,
    signs: Signs | None = None,
) -> DetectedData:
    """Find personal data in a text, and numbers that are possibly personal data.

    `custom` has the recognizers of a project. `signs` are those of the row that contains the text,
    if they are known.
    """
    plain = to_ascii(text)
    lead = to_ascii(before[-_BEFORE_CHARS:]) + TURN_END if before else ""
    signs = signs_in([lead, text], languages) if signs is None else signs
    certain: list[Found] = []
    if signs.secrets:
        certain += _after(lead, (Found(*secret) for secret in find_secrets(lead + plain)))
    found = [Found(*one) for one in custom.find(plain)] if custom else []
    found += _names(text, languages, signs)
    if signs.emails:
        found += [Found("email", *place) for place in find_emails(plain)]
    if signs.labeled:
        found += _after(lead, (Found(*one) for one in find_labeled(lead + plain)))
    if signs.addresses:
        places = [Found("address", *place) for place in find_addresses(plain, languages)]
        # An account number after "No." can look like a house number and a PIN code.
        found += _outside(places, [one for one in found if one.kind == "bank_account"])
    if signs.ip_addresses:
        found += [Found("ip_address", *place) for place in find_ip_addresses(plain)]
    if signs.passports:
        found += _after(lead, (Found("passport", *at) for at in find_passports(lead + plain)))
    possible: list[Found] = []
    if signs.numbers and _LONG_NUMBER.search(plain) is not None:
        numbers, unsure = _numbers(lead + plain, languages)
        found += _after(lead, numbers)
        possible += _after(lead, unsure)
    if signs.labeled or signs.numbers:
        cells = list(_in_tables(text, languages))
        found = [*_outside(found, cells), *cells]
    if signs.listed_names and any(one.kind != "person_name" for one in found):
        bare = (Found("person_name", *place) for place in find_latin_names(text))
        found += (one for one in bare if not is_public(text[one.start : one.end]))
    if custom and custom.by_model:
        by_model = (Found(*one) for one in custom.by_model.get(key_of(text), ()))
        found += (one for one in by_model if not is_public(text[one.start : one.end]))
    if not (found or certain or possible):
        return _NOTHING
    certain = without_overlap([*_outside(found, certain), *certain])
    return DetectedData(certain, without_overlap(_outside(possible, certain)))


def may_hold_personal_data(text: str) -> bool:
    """Return whether a text in any language may contain personal data: a digit, an @, a name."""
    return (
        _DIGIT_OR_AT.search(text) is not None
        or may_hold_names(text)
        or may_name_someone(text)
        or contains_listed_name(text)
    )


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
    plain = to_ascii(value)
    if kind == "email":
        return {plain_email(plain)}
    forms = {"".join(c for c in plain.upper() if c.isascii() and c.isalnum())}
    if kind == "phone":
        forms |= phone_forms(plain, languages)
    return forms


def _outside(found: Iterable[Found], taken: Sequence[Found]) -> list[Found]:
    """Return the findings that do not overlap any of the others."""
    starts, ends = [], [0]
    for other in sorted(taken, key=lambda one: one.start):
        starts.append(other.start)
        ends.append(max(other.end, ends[-1]))
    return [one for one in found if ends[bisect_left(starts, one.end)] <= one.start]


_NAMES_OF_ANYTHING: Final = frozenset(
    ("name", "nama", "nombre", "nom", "nome", "tên", "ชื่อ", "名前", "名称", "名稱")
)
"""Headers of columns that products have, too."""


def _in_tables(text: str, languages: tuple[str, ...]) -> Iterator[Found]:
    """Find personal data in the cells of tables, after the headers of their columns."""
    known: dict[str, list[Found]] = {}  # many cells of a table are equal
    for cell in find_cells(text):
        header = f"{cell.header}: "
        written = header + text[cell.start : cell.end]
        if written not in known:
            found = find_all(written, *languages).certain
            if cell.header.casefold() in _NAMES_OF_ANYTHING:
                found = [one for one in found if one.kind != "person_name"]
            known[written] = found
        yield from _after(header, known[written], cell.start)


def _names(text: str, languages: tuple[str, ...], signs: Signs) -> list[Found]:
    found: list[Found] = []
    if signs.listed_names:
        found += [Found("person_name", *place) for place in find_listed_names(text, languages)]
    if signs.announced_names:
        named = [Found("person_name", *place) for place in find_names_by_pattern(text, languages)]
        found += _outside(named, found)
    if signs.japanese_names:
        found += [Found("person_name", *place) for place in find_names(text)]
    return [one for one in found if not is_public(text[one.start : one.end])]


def _after(lead: str, found: Iterable[Found], at: int = 0) -> Iterator[Found]:
    """Yield the findings after the start of a text, moved to where the rest is in another text."""
    return (
        Found(one.kind, one.start - len(lead) + at, one.end - len(lead) + at)
        for one in found
        if one.start >= len(lead)
    )


def _numbers(text: str, languages: tuple[str, ...]) -> tuple[list[Found], list[Found]]:
    certain: list[Found] = []
    possible: list[Found] = []
    mistyped: list[Found] = []  # wrong check digits after the word for the ID
    digits = max(len(_DIGIT.findall(run)) for run in _RUN.findall(text))
    has_letter = _LETTER_AND_DIGIT.search(text) is not None
    for kind in NATIONAL_IDS:
        if digits < kind.digits or (kind.has_letter and not has_letter):
            continue
        for match in kind.pattern.finditer(text):
            found = Found(kind.kind, *match.span())
            if not kind.is_valid(match.group()):
                if is_labeled(text, found.start, kind.words):
                    mistyped.append(found)
            elif _is_confirmed(kind, text, match, languages):
                certain.append(found)
            elif not kind.languages.isdisjoint(languages) and clue(text, found.start) is None:
                possible.append(found)
    certain += [*_outside(mistyped, certain), *_accounts(text)]
    for phone in find_phones(text, languages):
        found = Found("phone", phone.start, phone.end)
        (possible if phone.possible else certain).append(found)
    return certain, possible


def _is_confirmed(
    kind: NationalId, text: str, match: re.Match[str], languages: tuple[str, ...]
) -> bool:
    if kind.strong:
        return not is_labeled_other(text, match.start(), kind.words)
    says = clue(text, match.start(), kind.words)
    if says is not None:
        return says == "own"
    at_home = not kind.languages.isdisjoint(languages)
    return at_home and kind.grouped is not None and bool(kind.grouped.fullmatch(match.group()))


def _accounts(text: str) -> Iterator[Found]:
    """Find payment cards and IBANs, but not ungrouped numbers after a word such as "order"."""
    from stdnum import iban, luhn

    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if _CARD_FORMS.fullmatch(digits) and luhn.is_valid(digits):
            grouped = not match.group().isdigit()
            if grouped or clue(text, match.start(), CARD) in (None, "own"):
                yield Found("payment_card", match.start(), match.end())
    for match in _IBAN.finditer(text):
        if iban.is_valid(match.group()):
            yield Found("iban", match.start(), match.end())
