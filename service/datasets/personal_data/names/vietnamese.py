"""Finds Vietnamese names of persons.

A run of capitalized words, a family name and syllables of given names. Streets, schools and
companies are named after people too. The word before a name, and a list of those people, tell them
apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from service.datasets.personal_data.names.word_lists import listed, phrases

_UPPER: Final = "A-ZÀ-ÃÈ-ÊÌÍÒ-ÕÙÚÝĂĐĨŨƠƯ" + "".join(map(chr, range(0x1EA0, 0x1EFA, 2)))
_WORD: Final = rf"[{_UPPER}][^\W\d_]{{0,6}}"
SIGNS: Final = (
    rf"[{_UPPER}][\pL\pN]* [{_UPPER}]"
    r"|(?i:anh|chị|ông|bà|cô|chú|bác|em|bạn|thầy|sếp|bé|dì|cậu|mình|tôi|con|cháu)(?: là| tên"
    rf"| tên là)? [{_UPPER}]"
)
"""Two capitalized words in a row."""
LETTERS: Final = "[\u1ea0-\u1ef9]|(?:Bùi|Hoàng|Lê|Ngô|Võ|Vũ|Lý|Đinh|Đoàn|Dương|Lâm|Trương) [A-Z]"
"""Letters that only Vietnamese has, or a family name that is written in its way."""
_LETTERS: Final = re.compile(LETTERS)
_RUN: Final = re.compile(rf"(?<![\w-]){_WORD}(?: {_WORD}){{1,9}}(?![\w-])")
_PERSON: Final = re.compile(
    r"(?<!\w)(?:nhân viên|gửi(?: cho)?|anh|chị|cô|chú|bác|ông|bà|em|bé|bạn|cháu|khách(?: hàng)?"
    r"|thưa|tên|bác sĩ|bệnh nhân|giáo viên|học sinh|tổng đài viên|shipper|tài xế|liên hệ|vợ|chồng"
    r"|mẹ|bố|đại diện|người nhận|kính gửi|ký tên|của|dì|cậu|thầy|sếp|mình|tôi|là|do) ?:?\s$",
    re.IGNORECASE,
)
_PLACE: Final = re.compile(
    r"(?<!\w)(?:đường|phố|phường|quận|huyện|xã|tỉnh|ngõ|hẻm|cầu|chợ|trường|thpt|thcs|tiểu học"
    r"|đại học|bệnh viện|sân bay|ga|hầm|nhà hàng|quán|khách sạn|công ty|tnhh|cổ phần|tập đoàn"
    r"|siêu thị|ngân hàng|rạp|thư viện|bưu điện|trạm|chung cư|tượng đài|giải|học bổng|cửa hàng"
    r"|shop|phở|bún|chè|bánh mì|vé|cà phê|taxi|xe khách|hãng|thương hiệu|tạp hóa|bảo hiểm|khu"
    r"|tòa nhà|đền|chùa|núi|đảo|hồ|sông|bến xe|ngã tư|quảng trường|công viên|nhà sách|ứng dụng"
    r"|app|sản phẩm|combo|mục|sách|ở|tại|đến|tới|từ|gần|cách|số|\d+) ?:?\s$",
    re.IGNORECASE,
)
# One or two given names after a title, such as "chị Lan".
_TITLED: Final = re.compile(
    r"(?<!\w)(?:[Aa]nh|[Cc]hị|[Ôô]ng|[Bb]à|[Cc]ô|[Cc]hú|[Bb]ác|[Ee]m|[Bb]ạn|[Tt]hầy|[Ss]ếp|[Bb]é"
    r"|[Dd]ì|[Cc]ậu|(?:[Mm]ình|[Tt]ôi|[Cc]on|[Cc]háu)(?= là | tên ))"
    rf"(?P<is> là| tên(?: là)?)? ({_WORD}(?: {_WORD})?)(?![\w-]| {_WORD})"
)
_NOT_TITLED: Final = frozenset({"Quốc", "Văn", "Ngữ", "Em"})
# Middle names with which any given name counts.
_MIDDLE: Final = frozenset({"Thị", "Văn", "Thi", "Van"})
_COUNTRIES: Final = frozenset({"Hàn Quốc", "Trung Quốc", "Nhật Bản", "Thái Lan", "Hà Lan"})
_LEAST_WORDS: Final = 3
_MOST_WORDS: Final = 5  # of a name
_BEFORE_CHARS: Final = 20


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of Vietnamese names: `text[start:end]`."""
    for run in _RUN.finditer(text):
        words, start = run.group().split(" "), run.start()
        before = text[max(start - _BEFORE_CHARS, 0) : start]
        if words[0].title() not in _families(words):  # the first word of a sentence
            before += words[0] + " "
            start += len(words[0]) + 1
            words = words[1:]
        titled = _PERSON.search(before) is not None
        if _is_name(words, titled=titled) and _PLACE.search(before) is None:
            yield start, run.end()

    for called in _TITLED.finditer(text):
        words = called[2].split(" ")
        before = text[max(called.start() - _BEFORE_CHARS, 0) : called.start()]
        if (
            (called[0][:2].lower() == "bé" or listed("vietnamese", "given").issuperset(words))
            and _NOT_TITLED.isdisjoint(words[:1])
            and called[2] not in _COUNTRIES
            and (called["is"] or called[2] not in listed("vietnamese", "not_alone"))
            and _PLACE.search(before) is None
        ):
            yield called.span(2)


def find_written_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield what `find_names` does, in a text of another language with Vietnamese letters."""
    if not text.isascii() and _LETTERS.search(text):
        yield from find_names(text)


def _is_name(words: Sequence[str], *, titled: bool) -> bool:
    """Return whether words are a family name and given names. After a title, one is enough."""
    words = [word.title() for word in words]
    if not _LEAST_WORDS - titled <= len(words) <= _MOST_WORDS:
        return False
    if words[0] not in _families(words) or " ".join(words) in phrases("vietnamese", "places"):
        return False
    if " ".join(words[-2:]) in _COUNTRIES:
        return False
    if words[1] in _MIDDLE and len(words) >= _LEAST_WORDS:
        return True
    return _listed("given", words).issuperset(words[1:])


def _families(words: Sequence[str]) -> frozenset[str]:
    return _listed("family" if len(words) >= _LEAST_WORDS else "certain_family", words)


def _listed(which: str, words: Sequence[str]) -> frozenset[str]:
    """Return a list of names, without diacritics if the words have none."""
    if not all(word.isascii() for word in words):
        return listed("vietnamese", which)
    return _without_diacritics("certain_family" if which == "family" else which)


@cache
def _without_diacritics(which: str) -> frozenset[str]:
    """Return a list without diacritics, which many people do not type."""
    return frozenset(
        "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c))
        .replace("Đ", "D")
        .replace("đ", "d")
        for name in listed("vietnamese", which)
    )
