"""Vietnamese names: a family name, and syllables of which given names are made.

Each word of a name starts with a capital letter, so a name is a run of such words. Streets,
schools and companies are also named after people. The word before them distinguishes them,
and by a list of the persons after whom streets are named.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from service.datasets.personal_data.bare_names import names, phrases

_UPPER: Final = "A-ZÀ-ÃÈ-ÊÌÍÒ-ÕÙÚÝĂĐĨŨƠƯ" + "".join(map(chr, range(0x1EA0, 0x1EFA, 2)))
_WORD: Final = rf"[{_UPPER}][^\W\d_]{{0,6}}"
SIGNS: Final = rf"[{_UPPER}][\pL\pN]* [{_UPPER}]"
"""Two capitalized words in a row."""
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
# Middle names with which any given name counts.
_MIDDLE: Final = frozenset({"Thị", "Văn", "Thi", "Van"})
_COUNTRIES: Final = frozenset({"Hàn Quốc", "Trung Quốc", "Nhật Bản", "Thái Lan", "Hà Lan"})
_LEAST_WORDS: Final = 3
_MOST_WORDS: Final = 5
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


def _is_name(words: Sequence[str], *, titled: bool) -> bool:
    """Whether words are a family name with given names. After a title, one given name suffices."""
    words = [word.title() for word in words]
    if not _LEAST_WORDS - titled <= len(words) <= _MOST_WORDS:
        return False
    if words[0] not in _families(words) or " ".join(words) in phrases("vietnamese", "places"):
        return False
    if " ".join(words[-2:]) in _COUNTRIES:
        return False
    if words[1] in _MIDDLE and len(words) >= _LEAST_WORDS:
        return True
    return _list("given", words).issuperset(words[1:])


def _families(words: Sequence[str]) -> frozenset[str]:
    return _list("family" if len(words) >= _LEAST_WORDS else "certain_family", words)


def _list(which: str, words: Sequence[str]) -> frozenset[str]:
    """Return a list of names, without marks if the words have none."""
    if not all(word.isascii() for word in words):
        return names("vietnamese", which)
    return _plain("certain_family" if which == "family" else which)


@lru_cache(maxsize=2)
def _plain(which: str) -> frozenset[str]:
    """Return a list without the marks of the letters, which many people do not type."""
    return frozenset(
        "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c))
        .replace("Đ", "D")
        .replace("đ", "d")
        for name in names("vietnamese", which)
    )
