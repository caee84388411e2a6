"""National IDs and their validation by check digits.

One in eleven random twelve-digit numbers is a valid My Number. An ID that is confirmed only
by a check digit therefore counts only in a text in its country's language, or after a word
that introduces it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from stdnum.cn import ric
from stdnum.id import nik
from stdnum.in_ import aadhaar, pan
from stdnum.jp import in_ as my_number
from stdnum.kr import rrn
from stdnum.my import nric as mykad
from stdnum.th import pin


class NationalId(NamedTuple):
    """A kind of national ID: its pattern, its validation, and the languages of its country.

    `strong` IDs have a format, or several checks, that random numbers do not match.
    """

    kind: str
    pattern: re.Pattern[str]
    is_valid: Callable[[str], bool]
    languages: frozenset[str]
    words: re.Pattern[str]
    strong: bool


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def is_singapore_nric(value: str) -> bool:
    """Whether the check letter is valid: S, T, F, G, or M, seven digits, and the check letter."""
    first, digits, last = value[0], value[1:-1], value[-1]
    total = _weighted(digits, (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(first, 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "F": "XWUTRQPNMLK", "G": "XWUTRQPNMLK"}
    if first == "M":
        return "XWUTRQPNJLK"[10 - total % 11] == last
    return letters[first][total % 11] == last


def is_taiwan_id(value: str) -> bool:
    """Whether the check digit is valid.

    The ID is a letter for the place, 1, 2, 8, or 9, seven digits, and the check digit.
    """
    place = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(value[0]) + 10
    total = place // 10 + place % 10 * 9 + _weighted(value[1:], (8, 7, 6, 5, 4, 3, 2, 1, 1))
    return total % 10 == 0


def is_hong_kong_id(value: str) -> bool:
    """Whether the check digit is valid.

    The ID is one or two letters, six digits, and the check digit (0–9 or A) in parentheses.
    """
    letters, digits, check = re.fullmatch(r"([A-Z]{1,2})(\d{6})\(?([\dA])\)?", value).groups()  # type: ignore[union-attr]
    numbers = [36] * (2 - len(letters)) + [ord(letter) - 55 for letter in letters]
    numbers += [int(digit) for digit in digits] + [10 if check == "A" else int(check)]
    return sum(n * w for n, w in zip(numbers, range(9, 0, -1), strict=True)) % 11 == 0


def _is_indonesian(value: str) -> bool:
    """Whether the ID has a valid province, and a date of birth whose day is +40 for women."""
    if not nik.is_valid(value) or not 11 <= int(value[:2]) <= 97:
        return False
    day = int(value[6:8]) % 40
    return _is_date(int(value[10:12]), int(value[8:10]), day)


def _is_mykad(value: str) -> bool:
    return bool(mykad.is_valid(value))


def _is_rrn(value: str) -> bool:
    """Whether the number is valid. Numbers issued since October 2020 have no check digit."""
    return bool(rrn.is_valid(value))


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(2000 + year, month, day)
    except ValueError:
        return False
    return True


_EDGE, _END = r"(?<![\w.-])", r"(?![\w-]|\.\d)"


def _id(
    kind: str,
    pattern: str,
    is_valid: Callable[[str], bool],
    languages: str,
    words: str,
    *,
    strong: bool = False,
) -> NationalId:
    return NationalId(
        kind,
        re.compile(_EDGE + pattern + _END, re.ASCII),
        is_valid,
        frozenset(languages.split()),
        re.compile(words, re.IGNORECASE),
        strong,
    )


NATIONAL_IDS: tuple[NationalId, ...] = (
    _id("cn_resident_id", r"\d{17}[\dXx]", ric.is_valid, "zh-Hans", r"身份证", strong=True),
    _id(
        "jp_my_number",
        r"\d{4}[ -]?\d{4}[ -]?\d{4}",
        my_number.is_valid,
        "ja",
        r"マイナンバー|個人番号|my[ _-]?number",
    ),
    _id(
        "kr_rrn",
        r"\d{6}-[1-8]\d{6}",
        _is_rrn,
        "ko",
        r"주민(?:등록)?번호|resident registration|\brrn\b",
        strong=True,
    ),
    _id("sg_nric", r"[STFGM]\d{7}[A-Z]", is_singapore_nric, "", r"\bnric\b|\bfin\b", strong=True),
    _id(
        "my_nric",
        r"\d{6}-\d{2}-\d{4}|\d{12}",
        _is_mykad,
        "ms",
        r"\bnric\b|mykad|kad pengenalan|\bic\b",
    ),
    _id(
        "th_national_id",
        r"[1-8][ -]?\d{4}[ -]?\d{5}[ -]?\d{2}[ -]?\d",
        pin.is_valid,
        "th",
        r"บัตรประชาชน|ประจำตัวประชาชน|thai id",
    ),
    _id("in_aadhaar", r"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}", aadhaar.is_valid, "hi", r"aadhaar|आधार"),
    _id(
        "in_pan",
        r"[A-Z]{3}[ABCFGHLJPTK][A-Z]\d{4}[A-Z]",
        pan.is_valid,
        "",
        r"\bpan\b",
        strong=True,
    ),
    _id("id_nik", r"\d{16}", _is_indonesian, "id", r"\bnik\b|\bktp\b"),
    _id("tw_national_id", r"[A-Z][1289]\d{8}", is_taiwan_id, "zh-Hant", r"身[分份]證", strong=True),
    _id(
        "hk_id",
        r"[A-Z]{1,2}\d{6}\([\dA]\)",
        is_hong_kong_id,
        "",
        r"\bhkid\b|身份證",
        strong=True,
    ),
)  # fmt: skip
