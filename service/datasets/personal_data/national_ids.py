"""Finds national IDs and passport numbers, and validates check digits.

One in eleven random twelve-digit numbers is a valid My Number. An ID with only a check digit
therefore counts only after a word that introduces it, or if it is grouped as usual in its country,
in a text in the country's language. The documentation lists `COUNTRIES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from importlib import import_module
from typing import Final, NamedTuple

from service.datasets.personal_data.phones import Words


class NationalId(NamedTuple):
    """A kind of national ID: its pattern, its validation, and the languages of its country.

    Random numbers do not match the format and checks of `strong` IDs. Other IDs need one of the
    `words` before them, unless they have the form `grouped` in one of the country's languages.
    """

    kind: str
    country: str
    pattern: re.Pattern[str]
    is_valid: Callable[[str], bool]
    languages: frozenset[str]
    words: Words
    strong: bool
    grouped: re.Pattern[str] | None
    digits: int
    """Number of consecutive digits, ignoring marks between them, in such an ID."""
    has_letter: bool


def _by_stdnum(module: str) -> Callable[[str], bool]:
    """Return the validation of a module of stdnum, which is imported on first use."""

    def is_valid(value: str) -> bool:
        return bool(import_module(f"stdnum.{module}").is_valid(value))

    return is_valid


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def is_singapore_nric(value: str) -> bool:
    """Return whether the check letter is valid. The ID is S, T, F, G, or M, 7 digits, a letter."""
    value = value.upper()
    first, digits, last = value[0], value[1:-1], value[-1]
    total = _weighted(digits, (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(first, 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "F": "XWUTRQPNMLK", "G": "XWUTRQPNMLK"}
    if first == "M":
        return "XWUTRQPNJLK"[10 - total % 11] == last
    return letters[first][total % 11] == last


def is_taiwan_id(value: str) -> bool:
    """Return whether the check digit is valid.

    The ID is a letter for the place, 1, 2, 8, or 9, seven digits, and the check digit.
    """
    place = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(value[0]) + 10
    total = place // 10 + place % 10 * 9 + _weighted(value[1:], (8, 7, 6, 5, 4, 3, 2, 1, 1))
    return total % 10 == 0


def is_hong_kong_id(value: str) -> bool:
    """Return whether the check digit is valid.

    The ID is one or two letters, six digits, and the check digit (0–9 or A) in parentheses.
    """
    bare = value.upper().replace(" ", "")
    letters, digits, check = re.fullmatch(r"([A-Z]{1,2})(\d{6})\(?([\dA])\)?", bare).groups()  # type: ignore[union-attr]
    numbers = [36] * (2 - len(letters)) + [ord(letter) - 55 for letter in letters]
    numbers += [int(digit) for digit in digits] + [10 if check == "A" else int(check)]
    return sum(n * w for n, w in zip(numbers, range(9, 0, -1), strict=True)) % 11 == 0


def _is_indonesian(value: str) -> bool:
    """Return whether province and date of birth are valid. The day is +40 for women."""
    digits = _digits(value)
    if digits[:2] not in _INDONESIAN_PROVINCES or digits[-4:] == "0000":
        return False
    return _is_date(int(digits[10:12]), int(digits[8:10]), int(digits[6:8]) % 40)


def _is_mykad(value: str) -> bool:
    return _by_stdnum("my.nric")(_digits(value))


def _is_rrn(value: str) -> bool:
    """Return whether the check digit is valid."""
    return _by_stdnum("kr.rrn")(_digits(value))


def _is_rrn_by_date(value: str) -> bool:
    """Return whether the date of birth is valid. Numbers since October 2020 have no check digit."""
    digits = _digits(value)
    return _is_date(int(digits[:2]), int(digits[2:4]), int(digits[4:6]))


def is_chinese_id(value: str) -> bool:
    """Return whether the province, the date of birth, and the check digit are valid.

    The county is not compared with a list: many IDs are older than the last change of counties.
    A 15-digit ID, as issued until 1999, has no check digit.
    """
    value = value.upper()
    if value[:2] not in _CHINESE_PROVINCES or len(value) not in (15, 18):
        return False
    if len(value) == 15:
        return _is_date(int(value[6:8]), int(value[8:10]), int(value[10:12]))
    if not 1880 <= int(value[6:10]) <= 2099:
        return False
    from stdnum.cn import ric

    born = _is_date(int(value[6:10]) - 2000, int(value[10:12]), int(value[12:14]))
    return born and bool(ric.calc_check_digit(value) == value[-1])


def is_vietnamese_id(value: str) -> bool:
    """Return whether the province and the digit for century and sex (of a CCCD) are valid."""
    digits = _digits(value)
    if len(digits) == 9:  # a CMND, as issued until 2021
        return True
    return digits[:3] in _VIETNAMESE_PROVINCES and digits[3] in "0123"


def _has_digits(value: str) -> bool:
    """Return whether there are more than two different digits, for IDs without a check digit."""
    return len(set(_digits(value))) > 2


def _digits(value: str) -> str:
    return "".join(c for c in value if c.isdigit())


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(2000 + year, month, day)
    except ValueError:
        return False
    return True


# Codes separated by spaces, so that adjacent codes do not contain another one.
_CHINESE_PROVINCES = (
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65"
    " 71 81 82 83"
)
_INDONESIAN_PROVINCES = (
    "11 12 13 14 15 16 17 18 19 21 31 32 33 34 35 36 51 52 53 61 62 63 64 65 71 72 73 74 75 76 81"
    " 82 91 92 93 94 95 96 97"
)
# Codes from before the mergers of 2025, which IDs still contain.
_VIETNAMESE_PROVINCES = (
    "001 002 004 006 008 010 011 012 014 015 017 019 020 022 024 025 026 027 030 031 033 034 035"
    " 036 037 038 040 042 044 045 046 048 049 051 052 054 056 058 060 062 064 066 067 068 070 072"
    " 074 075 077 079 080 082 083 084 086 087 089 091 092 093 094 095 096"
)
_WITH_LETTERS = frozenset({"hk_id", "in_pan", "sg_nric", "tw_national_id"})
_EDGE, _END = r"(?<![\w.-])", r"(?![\w-]|\.\d)"


def _id(
    kind: str,
    country: str,
    pattern: str,
    is_valid: Callable[[str], bool],
    languages: str,
    words: str,
    *,
    digits: int,
    strong: bool = False,
    grouped: str = "",
) -> NationalId:
    return NationalId(
        kind,
        country,
        re.compile(_EDGE + pattern + _END, re.ASCII),
        is_valid,
        frozenset(languages.split()),
        Words(words),
        strong,
        re.compile(grouped, re.ASCII) if grouped else None,
        digits,
        kind in _WITH_LETTERS,
    )


_CHINESE = r"身[份分][证證]|证件号|證件號|公民身份|resident id|chinese id|identity card"
_KOREAN = r"주민(?:등록)?\s?번호|외국인\s?등록\s?번호|resident registration|\brrn\b|\barc\b"
_HONG_KONG = r"\bhkid\b|身[份分][證证]|hong kong (?:id|identity)|\bid(?:entity)? card|\bid no"
_FOURS = r"\d{4}[ -]\d{4}[ -]\d{4}"

NATIONAL_IDS: tuple[NationalId, ...] = (
    _id(
        "cn_resident_id",
        "China",
        r"\d{17}[\dXx]",
        is_chinese_id,
        "zh-Hans",
        _CHINESE,
        strong=True,
        digits=17,
    ),
    _id("cn_resident_id", "China", r"\d{15,17}", is_chinese_id, "", _CHINESE, digits=15),
    _id(
        "jp_my_number",
        "Japan",
        r"\d{4}[ -]?\d{4}[ -]?\d{4}",
        _by_stdnum("jp.in_"),
        "ja",
        r"マイナンバー|個人番号|通知カード|my[ _-]?number|individual number",
        grouped=_FOURS,
        digits=12,
    ),
    _id("kr_rrn", "Korea", r"\d{6} ?- ?[1-8]\d{6}", _is_rrn, "ko", _KOREAN, strong=True, digits=13),
    _id("kr_rrn", "Korea", r"\d{6}[ -]{0,3}[1-8]\d{6}", _is_rrn_by_date, "", _KOREAN, digits=13),
    _id(
        "sg_nric",
        "Singapore",
        r"[STFGM]\d{7}[A-Z]",
        is_singapore_nric,
        "",
        r"\bnric\b|\bfin\b",
        strong=True,
        digits=7,
    ),
    _id(
        "sg_nric",
        "Singapore",
        r"[STFGMstfgm]\d{7}[A-Za-z]",
        is_singapore_nric,
        "",
        r"\bnric\b|\bfin\b|\bic\b",
        digits=7,
    ),
    _id(
        "my_nric",
        "Malaysia",
        r"\d{6}[ -]\d{2}[ -]\d{4}|\d{12}",
        _is_mykad,
        "ms",
        r"\bnric\b|my ?kad|kad pengenalan|\bic\b|identity card",
        grouped=r"\d{6}-\d{2}-\d{4}",
        digits=12,
    ),
    _id(
        "th_national_id",
        "Thailand",
        r"[1-8][ -]?\d{4}[ -]?\d{5}[ -]?\d{2}[ -]?\d",
        _by_stdnum("th.pin"),
        "th",
        r"บัตรประชาชน|ประจำตัว|เลขบัตร|ปชช|thai (?:national )?id|thai citizen|citizen id",
        grouped=r"\d[ -]\d{4}[ -]\d{5}[ -]\d{2}[ -]\d",
        digits=13,
    ),
    _id(
        "in_aadhaar",
        "India",
        r"\d{4}[ -]?\d{4}[ -]?\d{4}",
        _by_stdnum("in_.aadhaar"),
        "hi",
        r"aa?dhaa?r|uidai|आधार",
        grouped=_FOURS,
        digits=12,
    ),
    _id(
        "in_pan",
        "India",
        r"[A-Z]{3}[ABCFGHLJPTK][A-Z]\d{4}[A-Z]",
        _by_stdnum("in_.pan"),
        "",
        r"\bpan\b|पैन",
        strong=True,
        digits=4,
    ),
    _id(
        "in_pan",
        "India",
        r"[a-z]{3}[abcfghljptk][a-z]\d{4}[a-z]",
        _by_stdnum("in_.pan"),
        "",
        r"\bpan\b|पैन",
        digits=4,
    ),
    _id(
        "id_nik",
        "Indonesia",
        r"\d{16}|\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{4}|\d{6}[. -]\d{6}[. -]\d{4}",
        _is_indonesian,
        "id",
        r"\bnik\b|\be?-?ktp\b|induk kependudukan|nomor identitas|indonesian id",
        grouped=r"\d{6}[. -]\d{6}[. -]\d{4}",
        digits=16,
    ),
    _id(
        "tw_national_id",
        "Taiwan",
        r"[A-Z][1289]\d{8}",
        is_taiwan_id,
        "zh-Hant",
        r"身[分份][證证]|居留證|national id|taiwan(?:ese)? id",
        strong=True,
        digits=9,
    ),
    _id(
        "hk_id",
        "Hong Kong",
        r"[A-Z]{1,2}\d{6} ?\([\dA]\)",
        is_hong_kong_id,
        "",
        _HONG_KONG,
        strong=True,
        digits=6,
    ),
    _id(
        "hk_id",
        "Hong Kong",
        r"[A-Za-z]{1,2}\d{6}[\dAa]",
        is_hong_kong_id,
        "",
        _HONG_KONG,
        digits=6,
    ),
    _id(
        "vn_cccd",
        "Vietnam",
        r"\d{3}[ .]?\d{3}[ .]?\d{3}[ .]?\d{3}|\d{9}",
        is_vietnamese_id,
        "",
        r"\bcccd\b|\bcmnd\b|\bcmt\b|căn cước|chứng minh (?:nhân dân|thư)|định danh|citizen id",
        digits=9,
    ),
    _id(
        "ph_tin",
        "Philippines",
        r"\d{3}[ -]?\d{3}[ -]?\d{3}(?:[ -]?\d{3,5})?",
        _has_digits,
        "",
        r"\btin\b|tax(?:payer)? ?identification|\bbir\b",
        digits=9,
    ),
    _id(
        "ph_philsys",
        "Philippines",
        r"\d{4}[ -]?\d{4}[ -]?\d{4}(?:[ -]?\d{4})?",
        _has_digits,
        "",
        r"phil ?sys|phil ?id|\bpcn\b|\bpsn\b|philippine (?:national )?id",
        digits=12,
    ),
)  # fmt: skip

COUNTRIES: tuple[str, ...] = tuple(sorted({kind.country for kind in NATIONAL_IDS}))
"""Countries whose national IDs are detected."""


SIGNS: Final = (
    "(?i:passpo|paspor|pasaporte|passeport|reisepass|passap|照|パスポート|旅券|여권|พาสปอร์ต"
    "|หนังสือเดินทาง"
    "|hộ chiếu|पासपोर्ट|p<)"
)
"""Stems of the words for passports, and the start of a machine-readable one."""
_WORDS: Final = re.compile(
    r"passports?(?! (?:control|office|photo|renewal))|パスポート|旅券|护照|護照|여권|พาสปอร์ต"
    r"|หนังสือเดินทาง|hộ chiếu|paspor\b"
    r"|pasaporte"
    r"|passeport|reisepass|passaporte|passaporto|पासपोर्ट",
    re.IGNORECASE,
)
# One or two letters and six to eight digits (most countries), eight or nine digits (US, UK), or the
# Korean form with a letter inside; one letter may follow (Philippines, Indonesia).
_NUMBER: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:[A-Z]{1,3} ?\d{6,8}[A-Z]?|[A-Z]\d{3}[A-Z]\d{4}|\d{8,9}"
    r"|[A-Z]\d{2}[A-Z]{2}\d{4}|\d{2}[A-Z]{2}\d{5}|[CFGHJK][0-9CFGHJKLMNPRTVWXYZ]{7}\d)"
    r"(?![A-Za-z0-9-])",
    re.ASCII,
)
_MACHINE_READABLE: Final = re.compile(r"P[A-Z<][A-Z]{3}[A-Z<]{39}\s{1,2}[A-Z0-9<]{44}", re.ASCII)
_BETWEEN: Final = 32  # characters between the word and the number


def find_passports(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of passport numbers: `text[start:end]`."""
    if "P" in text and "<<" in text:
        yield from (match.span() for match in _MACHINE_READABLE.finditer(text))
    for word in _WORDS.finditer(text):
        number = _NUMBER.search(text, word.end(), word.end() + _BETWEEN + 12)
        if number is not None and number.start() - word.end() <= _BETWEEN:
            yield number.span()
            continue
        before = max(word.start() - _BETWEEN - 12, 0)
        last = list(_NUMBER.finditer(text, before, word.start()))[-1:]
        if last and re.fullmatch(
            r"\W{0,3}(?:is|as|,)?\s?(?:my|his|her|the)?\s?", text[last[0].end() : word.start()]
        ):
            yield last[0].span()
