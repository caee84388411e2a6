"""Thai names: a given name, a space, and a family name.

A given name is one of a list, or ends as many do. A space in Thai separates phrases, so the family
name must not start with a word with which phrases start. After a given name that is not listed, it
has to contain a part of which family names are made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from service.datasets.personal_data.bare_names import names

SIGNS: Final = "[ก-๙]{2} {1,2}[ก-๙]{3}"
"""Two Thai words with a space between them."""
_PAIR: Final = re.compile(r"(?<![ก-๙])([ก-๙]{2,28}) {1,2}(?=([ก-๙]{3,28}))")
# Words that are written before a given name without a space.
_TITLE: Final = re.compile(
    r"คุณหมอ|คุณครู|คุณ|นางสาว|นาย|นาง|ผู้รับ|ผู้ส่ง|ผู้ติดต่อ|ลูกค้า|โดย|ในนาม|ในชื่อ|ชื่อ|พี่|น้อง|หมอ|ครู|ถึง|กับ|ผม"
    r"|แฟน|และ|ให้"
)
# Words with which a phrase starts, not a family name.
_PHRASE: Final = re.compile(
    r"เลข|เบอร์|โทร|อายุ|ที่|อยู่|บ้าน|สั่ง|ขอ|จาก|ค่ะ|ครับ|คะ|นะ|อีเมล|รหัส|เป็น|ได้|จะ|และ|ไม่|ยัง|แจ้ง|ส่ง|รับ|ฝาก|ให้"
    r"|กับ|ใน|ของ|จำกัด|มหาชน|สาขา|สินค้า|ลูกค้า|บริษัท|ร้าน|โรง|ถนน|ราคา|สี|รุ่น|ลด|ฟรี|หมด|ดีมาก|มากๆ|ถึง|หนึ่ง"
    r"|สอง|สาม|ห้า|หก|เจ็ด|แปด|เก้า|สิบ|ร้อย|ใช้|องค์กร|ค่า|วัน|เดือน|เวลา|ตอน|ช่วง|เมื่อ|แล้ว|ว่า|หรือ|แต่|เพราะ|คือ|ทำ"
    r"|เปิด|ปิด|ต้อง|สามารถ|ควร|กำลัง|เคย|คน|ตัว|ขนาด|แบบ|ชิ้น|กล่อง|ครั้ง|พร้อม|ทั้ง|ทุก|นี้|นั้น|ไหน|อะไร|ตลาด|คอนโด"
    r"|หมู่บ้าน|โปร|มี(?!ส|ช|โ|ท)|มา(?!ก|ล)|ไป|ต่อ|เอา|ซื้อ|เข้า|ออก|กรุณา|โปรด|สวัสดี|ยินดี|นัด|เลื่อน|ขาด|อีก|ซึ่ง|ใหม่|เก่า"
)
# What may follow a family name without a space.
_NEXT: Final = re.compile(r"เป็น|ค่ะ|ครับ|คะ|นะ|สั่ง|โทร|ติดต่อ|ต้องการ|ขอ|แจ้ง|เบอร์|ยัง|ไม่|ได้|จะ")
_LEAST_CHARS: Final = 4


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of Thai names: `text[start:end]`."""
    for pair in _PAIR.finditer(text):
        given, family = pair.group(1), _family(pair.group(2))
        title = _TITLE.match(given)
        if title is not None and given not in names("thai", "given"):
            given = given[title.end() :]
        if family and _is_name(given, family):
            yield pair.end(1) - len(given), pair.start(2) + len(family)


def _is_name(given: str, family: str) -> bool:
    if given in names("thai", "given"):
        return True
    is_like_given = len(given) > _LEAST_CHARS and _endings().search(given) is not None
    return is_like_given and given not in _no_names() and _parts().search(family) is not None


def _family(word: str) -> str:
    """Return the family name with which a word starts, or nothing."""
    following = _NEXT.search(word, _LEAST_CHARS)
    family = word[: following.start()] if following else word
    if len(family) < _LEAST_CHARS or _PHRASE.match(family) is not None or family in _no_names():
        return ""
    return family


@lru_cache(maxsize=1)
def _no_names() -> frozenset[str]:
    return names("thai", "words") | names("thai", "provinces")


@lru_cache(maxsize=1)
def _endings() -> re.Pattern[str]:
    return re.compile(rf"(?:{'|'.join(names('thai', 'endings'))})$")


@lru_cache(maxsize=1)
def _parts() -> re.Pattern[str]:
    return re.compile("|".join(names("thai", "family_parts")))
