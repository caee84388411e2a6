"""Finds Thai names of persons.

A given name, a space, and a family name. Spaces separate phrases in Thai, too. So the given name is
listed, or two of these speak for a name: the form of a given name, a typical part of a family name,
and a word for a person before it. A label before it is enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from service.datasets.personal_data.names.word_lists import listed

SIGNS: Final = (
    "[ก-๙]{2} {1,2}[ก-๙]{3}|คุณ|นาง|นาย|พี่|น้อง|ชื่อ|โดย|ทีมงาน|หมอ|ครู|อาจารย์|ป้า"
    "|ลุง|ช่าง|ผู้|แอดมิน|(?:แม่|พ่อ|ผู้ปกครอง|เพื่อน|แฟน|ลูก)ของ"
)
"""Two Thai words with a space between them, or a title."""
_PAIR: Final = re.compile(r"(?<![ก-๙])([ก-๙]{2,28}) {1,2}(?=([ก-๙]{3,28}))")
# Words that are written before a given name without a space.
_TITLE: Final = re.compile(
    r"คุณหมอ|คุณครู|คุณ|นางสาว|นาย|นาง|ผู้รับ|ผู้ส่ง|ผู้ติดต่อ|ลูกค้า|โดย|ในนาม|ในชื่อ|ชื่อ|พี่|น้อง|หมอ|ครู|ถึง|กับ|ผม"
    r"|แฟน|และ|ให้"
)
# Words with which a phrase starts, not a family name.
_PHRASE: Final = re.compile(
    r"ทีมงาน|ฝ่าย|แผนก|ศูนย์|สนาม|มหาวิทยาลัย|แยก|สถานี|ขาย|บริการ|เลข|เบอร์|โทร|อายุ|ที่|อยู่|บ้าน|สั่ง|ขอ|จาก|ค่ะ|ครับ|คะ|นะ|อีเมล|รหัส|เป็น|ได้|จะ|และ|ไม่|ยัง|แจ้ง|ส่ง|รับ|ฝาก|ให้"
    r"|กับ|ใน|ของ|จำกัด|มหาชน|สาขา|สินค้า|ลูกค้า|บริษัท|ร้าน|โรง|ถนน|ราคา|สี|รุ่น|ลด|ฟรี|หมด|ดีมาก|มากๆ|ถึง|หนึ่ง"
    r"|สอง|สาม|ห้า|หก|เจ็ด|แปด|เก้า|สิบ|ร้อย|ใช้|องค์กร|ค่า|วัน|เดือน|เวลา|ตอน|ช่วง|เมื่อ|แล้ว|ว่า|หรือ|แต่|เพราะ|คือ|ทำ"
    r"|เปิด|ปิด|ต้อง|สามารถ|ควร|กำลัง|เคย|คน|ตัว|ขนาด|แบบ|ชิ้น|กล่อง|ครั้ง|พร้อม|ทั้ง|ทุก|นี้|นั้น|ไหน|อะไร|ตลาด|คอนโด"
    r"|หมู่บ้าน|โปร|มี(?!ส|ช|โ|ท)|มา(?!ก|ล)|ไป|ต่อ|เอา|ซื้อ|เข้า|ออก|กรุณา|โปรด|สวัสดี|ยินดี|นัด|เลื่อน|ขาด|อีก|ซึ่ง|ใหม่|เก่า|พ่อ|แม่ชื่อ|กลุ่ม|ประชา"
)
# What may follow a family name without a space.
_NEXT: Final = re.compile(r"เป็น|ค่ะ|ครับ|คะ|นะ|สั่ง|โทร|ติดต่อ|ต้องการ|ขอ|แจ้ง|เบอร์|ยัง|ไม่|ได้|จะ")
_LEAST_CHARS: Final = 4
# A given name alone counts after a title, if a space or one of these words follows.
_SINGLE: Final = re.compile(
    r"(คุณ(?<!ขอบคุณ)|นางสาว|นาย|นาง|พี่|น้อง|ชื่อ|โดย|หมอ|ครู|อาจารย์|ป้า|ลุง|ช่าง|ทีมงาน:|,|(?:แม่|พ่อ"
    r"|ผู้ปกครอง|เพื่อน|แฟน|ลูก)ของ) ?([ก-๙]{2,28})"
    r"(?: {1,2}(?=([ก-๙]{4,28})))?"
)
# Any word is a name after "my name is", after a greeting, or between a title and a particle.
_CALLED: Final = re.compile(
    r"(?:(?:ผม|ดิฉัน|ฉัน|หนู|เรา|เขา|เธอ|ลูกค้า|คนไข้|น้อง|ลูก|แฟน|เพื่อน|แม่|พ่อ|พี่|ลูกสาว|ลูกชาย)ชื่อ(?:เล่น)? ?"
    r"|(?:สวัสดี|ขอบคุณ|เรียน)(?:ค่ะ|ครับ|คะ|นะคะ)? ?(?:คุณ|พี่|น้อง)"
    r"|(?:พี่|น้อง|คุณ)(?=[ก-๙]{2,8}(?:คะ|ครับ|ค่ะ|ขา)(?![ก-๙]))|แอดมิน(?:ชื่อ)?(?=[ก-๙]{2,8}(?:ตอบ|บริการ|น่ารัก|ค่ะ|คะ|ครับ)))"
    r"(?!นาย|นาง|คุณ|ด\.|ดร|ลูกค้า|แม่|พ่อ|ลูก|หมอ|ครู|หมา|แมว|สาว|ชาย|ป้า|ลุง|ยาย|ตา(?![ก-๙])|ช่าง|แอด|ทีมงาน|ร้าน|เจ้าของ|มาก|ภาพ|ล่วงหน้า|อะไร|ใคร"
    r"|เดียวกัน|เดิม|จริง|เล่น|คือ|ว่า|นัก|ผู้|ท่าน|ทุก|คน|น้อง|พี่|สมาชิก|อาจารย์|ผม|ดี|รัก|ที่|ค่ะ|ครับ|คะ"
    r"|นะ)([ก-๙]{2,20})(?: {1,2}(?=([ก-๙]{4,28})))?"
)
# After a label, any two words are a name.
_LABEL: Final = re.compile(
    r"(?:ชื่อ(?:-(?:นาม)?สกุล)? ?[::]? |(?:ผู้(?:ป่วย|รับ|ส่ง|กู้|จอง|ติดต่อ|สมัคร|แจ้ง)|ลูกค้า|คนไข้) ?[::] ?"
    r"|(?:ผู้(?:กู้|ป่วย|สมัคร|เอาประกัน|ค้ำประกัน|โดยสาร)|ลงชื่อ|คนไข้) )$"
)
_PERSON: Final = re.compile(
    r"(?:ผู้[ก-๙]{2,10}|ลูกค้า|สมาชิก|นักเรียน|นักศึกษา|พนักงาน|เจ้าหน้าที่|พยาบาล|ทนาย|หัวหน้า[ก-๙]{0,8}|ผม|ดิฉัน|ฉัน|หนู|พี่|น้อง|หมอ|ครู|อาจารย์|ป้า|ลุง|ช่าง"
    r"|แฟน|สามี|ภรรยา|ลูกชาย|ลูกสาว|เพื่อน|แม่|พ่อ|ลงนามโดย|ในนาม|บัญชี|ขอบคุณ[ก-๙]{0,6}|ความนับถือ|เคารพ)\s{0,2}$"
)
_PLACE: Final = re.compile(
    r"(?:ตลาด|ร้าน|โรงเรียน|โรงพยาบาล|โรงแรม|บริษัท|คลินิก|ถนน|ซอย|วัด|อาคาร|หมู่บ้าน|คอนโด|ห้าง|สาขา|มูลนิธิ|ธนาคาร|สถานี|มหาวิทยาลัย|หจก\.|บจก\.)\s?$"
)
_LEAST_CALLED: Final = 3
_BEFORE_CHARS: Final = 24
_FAMILIAR: Final = frozenset(
    ("พี่", "น้อง", "คุณ", *(f"{who}ของ" for who in ("แม่", "พ่อ", "เพื่อน", "แฟน", "ลูก")))
)
_NICKNAME: Final = frozenset(("พี่", "น้อง", "หมอ", "ครู", "ป้า", "ลุง", "ช่าง"))
_THEN: Final = re.compile(
    r"เป็น|ค่ะ|ครับ|คะ|นะ|สั่ง|โทร|ติดต่อ|ต้องการ|ขอ|แจ้ง|ยัง|ไม่|ได้|จะ|ตอบ|บอก|ส่ง|มา|ฝาก|ลา(?!ย)|นัด|อยู่|ไป|ทำ|รับ|สอน|ตรวจ|ที่|ช่วย|เข้า|ซื้อ|ด้วย|แล้ว|และ|กับ|ว่า|เลย|ก็|คือ|ให้|ของ|ถึง|เมื่อ|ตอน|กำลัง|เพิ่ง|ต้อง|เคย|เขียน|พูด|ถาม|เซ็น|โอน|จ่าย|สมัคร|ลงชื่อ|กลับ|ตาม|หรือ|ฝ่าย|แผนก|จาก|หน่อย"
)


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of Thai names: `text[start:end]`."""
    for pair in _PAIR.finditer(text):
        family = _family_part(pair[2])
        if not family:
            continue
        title = None if pair[1] in listed("thai", "given") else _TITLE.match(pair[1])
        start = title.end() + pair.start() if title else pair.start()
        before = text[max(start - _BEFORE_CHARS, 0) : start]
        if _is_name(text[start : pair.end(1)], family, before):
            yield start, pair.start(2) + len(family)
    for called in _CALLED.finditer(text):
        given = _given_part(called[1], nickname=True)
        then = None if given else _THEN.search(called[1], _LEAST_CALLED)
        size = len(given) or (then.start() if then else len(called[1]))
        family = _family_part(called[2]) if called[2] and size == len(called[1]) else ""
        if family and _family_parts("family_parts", "family_words").search(family):
            yield called.start(1), called.start(2) + len(family)
        elif called[1][:size] not in _words():
            yield called.start(1), called.start(1) + size
    for single in _SINGLE.finditer(text):
        familiar = single[1] in _FAMILIAR
        given = _given_part(
            single[2], nickname=familiar or single[1] in _NICKNAME, familiar=familiar
        )
        full = given == single[2] and single[3] and _family_part(single[3])
        if given and not full:
            yield single.start(2), single.start(2) + len(given)


def _given_part(word: str, *, nickname: bool, familiar: bool = True) -> str:
    """Return the listed given name with which a word after a title starts, or nothing."""
    for size in range(len(word), 1, -1):
        ends = size == len(word) or _THEN.match(word, size)
        if ends and (
            (size >= _LEAST_CHARS and word[:size] in listed("thai", "given"))
            or (nickname and word[:size] in listed("thai", "nicknames"))
            or (familiar and word[:size] in listed("thai", "nickname_words"))
        ):
            return word[:size]
    return ""


def _is_name(given: str, family: str, before: str) -> object:
    """Return whether words are a name, after the text `before`, as a truth value."""
    if given in listed("thai", "given"):
        return True
    if (
        len(given) < 2
        or given in _words()
        or _PHRASE.match(given)
        or _PERSON.fullmatch(given)
        or _PLACE.search(before)
    ):
        return False
    if _LABEL.search(before):
        return True
    is_after_person = _PERSON.search(before) is not None
    if len(given) > _LEAST_CHARS and _given_form().search(given):
        return is_after_person or _family_parts("family_parts", "family_words").search(family)
    return is_after_person and _family_parts("family_parts").search(family)


def _family_part(word: str) -> str:
    """Return the family name with which a word starts, or nothing."""
    following = _NEXT.search(word, _LEAST_CHARS)
    family = word[: following.start()] if following else word
    if len(family) < _LEAST_CHARS or _PHRASE.match(family) is not None or family in _words():
        return ""
    return family


@cache
def _words() -> frozenset[str]:
    return listed("thai", "words") | listed("thai", "provinces")


@cache
def _given_form() -> re.Pattern[str]:
    starts, endings = ("|".join(listed("thai", which)) for which in ("starts", "endings"))
    return re.compile(rf"^(?:{starts})|(?:{endings})$")


@cache
def _family_parts(*which: str) -> re.Pattern[str]:
    return re.compile("|".join(part for one in which for part in listed("thai", one)))
