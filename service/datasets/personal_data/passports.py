"""Passport numbers. They have no check digit, so only a word for a passport confirms one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

SIGNS: Final = (
    "(?i:passpo|paspor|pasaporte|passeport|reisepass|passap|照|パスポート|旅券|여권|พาสปอร์ต|หนังสือเดินทาง"
    "|hộ chiếu|पासपोर्ट|p<)"
)
"""Stems of the words for passports, and the start of a machine-readable one."""
_WORDS: Final = re.compile(
    r"passports?|パスポート|旅券|护照|護照|여권|พาสปอร์ต|หนังสือเดินทาง|hộ chiếu|paspor\b"
    r"|pasaporte"
    r"|passeport|reisepass|passaporte|passaporto|पासपोर्ट",
    re.IGNORECASE,
)
# One or two letters and six to eight digits (most countries), eight or nine digits (US, UK), or the
# Korean form with a letter inside; one letter may follow (Philippines, Indonesia).
_NUMBER: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:[A-Z]{1,3} ?\d{6,8}[A-Z]?|[A-Z]\d{3}[A-Z]\d{4}|\d{8,9}"
    r"|[A-Z]\d{2}[A-Z]{2}\d{4})"
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
