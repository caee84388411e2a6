"""Finds names of persons without context, by lists of names per language (`name_lists/*.toml`).

Each language has its own grammar of names. Ordinary words, streets and shops look like names, so
a name needs a listed part and must not follow a word that announces a place or a company.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, NamedTuple

from service.datasets.personal_data.kinds import UNKNOWN

_MOST_WORDS: Final = 5  # of an Indonesian or Vietnamese name

# Indonesian and Malay: a run of capitalized words that starts with a given name or ends with a
# family name. A name that is also a word (Bunga, Surya, Citra) counts only next to another name.

_ID_WORD: Final = r"[A-Z][A-Za-z'’]{0,19}"
_ID_SIGNS: Final = r"[A-Z][A-Za-z'’]* [A-Z]"
"""Two capitalized words in a row."""
_ID_RUN: Final = re.compile(
    rf"(?<![\w.-]){_ID_WORD}(?: (?:(?:binti?|bt\.?|b\.|a/[lp]) )?{_ID_WORD}){{1,9}}(?![\w-])"
)
_ID_CHILD_OF: Final = re.compile(r" (?:binti?|bt\.?|b\.|a/[lp])(?= )")
_ID_ENDING: Final = re.compile(
    r"(?:wati|yanti|wanti|rianti|yanto|wanto|rianto|ianto|yono|yadi|ningsih|astuti|yati|ullah|uddin|sari(?<!^sari)|andari|wijaya)$"
)
"""Ends of names that no common word has."""
EATERIES: Final = (
    "warung",
    "bakso",
    "sate",
    "ayam",
    "soto",
    "sambal",
    "toko",
    "nasi",
    "kedai",
    "geprek",
    "pecel",
    "bakmi",
    "rawon",
)
"""Words before the names of shops and eateries, many of which name a person (Warung Bu Siti)."""
# Words before the names of streets, companies and goods.
_ID_OTHER: Final = re.compile(
    rf"(?<!\w)(?:{'|'.join(EATERIES)}"
    r"|jalan|jln|jl\.?|gang|pt\.?|cv\.?|rs|rumah sakit|klinik|apotek|universitas|sma"
    r"|smp|smk|sd|bank|bandara|stadion|gedung|masjid|gereja|gunung|pasar|kampung|kota|kabupaten"
    r"|candi|pantai|danau|pulau|hotel|merek|produk|buku|film|taman"
    r"|graha|puri|salon|bengkel|menu|paket|di|stasiun|terminal|pelabuhan|sungai|teluk|bukit|desa"
    r"|kecamatan|kelurahan|perumahan|apartemen|yayasan|museum|wisma|kapal|batik|kopi|teh"
    r"|keripik|madu|rumah makan|kue|roti) ?:?\s$",
    re.IGNORECASE,
)
_ID_LEAST_WORDS: Final = 2
_ID_MOST_UNKNOWN: Final = 3  # words of a name of which one is known
_ID_BEFORE_CHARS: Final = 14
_SENTENCE_START: Final = re.compile(r"(?:^|[\n.?!] ?)$")
_SAME_LINE: Final = tuple(" .?!")


def _find_indonesian(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of Indonesian and Malay names: `text[start:end]`."""
    for run in _ID_RUN.finditer(text):
        words, start = _ID_CHILD_OF.sub("", run.group()).split(" "), run.start()
        before = text[max(start - _ID_BEFORE_CHARS, 0) : start]
        opens = _SENTENCE_START.search(before) is not None
        if len(words) <= run.group().count(" ") and len(words) <= _MOST_WORDS:
            yield run.span()
            continue
        if opens and not _may_be_first(words) and _is_indonesian(words[1:], opens=False):
            before += words[0] + " "
            start += len(words[0]) + 1
        elif not _is_indonesian(
            words, opens=opens and text[run.end() : run.end() + 1] in _SAME_LINE
        ):
            continue
        if _ID_OTHER.search(before) is None:
            yield start, run.end()


def _is_indonesian(words: Sequence[str], *, opens: bool) -> bool:
    """Return whether words are a name. Words that open a sentence are capitalized in any case."""
    every, certain = _indonesian_lists()
    titled = [word.title() for word in words]
    if not _ID_LEAST_WORDS <= len(words) <= _MOST_WORDS:
        return False
    has_ending = any(_ID_ENDING.search(word) for word in words[1:])
    if certain.isdisjoint(titled) and not has_ending:
        return False
    if not _names("indonesian", "no_names").isdisjoint(titled):
        return False
    if _may_be_first(words) and every.issuperset(titled[1:]):
        return True
    is_first, is_last = titled[0] in certain, titled[-1] in certain and not opens
    return len(words) <= _ID_MOST_UNKNOWN and (is_first or is_last or (has_ending and not opens))


def _may_be_first(words: Sequence[str]) -> bool:
    """Return whether a name can start with the first word, as the Balinese name I Made does."""
    return words[0].title() in _indonesian_lists()[0] or (
        words[0] == "I" and len(words) > _ID_LEAST_WORDS
    )


@cache
def _indonesian_lists() -> tuple[frozenset[str], frozenset[str]]:
    """Return all names, and those that are nothing else."""
    either = _names("indonesian", "words")
    every = _names("indonesian", "given") | _names("indonesian", "family") | either
    return every, every - either


# Korean: a family name of one syllable, and a listed given name of two. Many words have the same
# form, such as 정기권 and 이용자, so a particle or the end of the word must follow. Next to a word
# that only persons have, such as 드림 under a letter, any syllables of given names are enough.

KOREAN_FAMILIES: Final = (
    "김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노하곽성차"
    "주우구민진나지엄채원천방공현변염추도소석설길연위표명기반라왕금옥"
)
"""Korean family names of one syllable, the frequent ones first."""
_KO_PARTICLES: Final = (
    "이|가|은|는|을|를|의|도|만|와|과|랑|이랑|로|으로|에|에서|에게|에게서|에게는|에게도"
    "|한테|한테는|한테서|께|께서|께는|입니다|이에요|예요|이예요|이라고|라고|이고|이며|인데"
    "|이나|까지|부터|처럼|보다|씨|씨가|씨는|씨의|님|님이|님은|님의|님께"
)
_KO_LONG_FAMILY: Final = "남궁|황보|선우|제갈|사공|독고"
_KO_WORD: Final = re.compile(
    rf"(?<![가-힣])(?:(?:{_KO_LONG_FAMILY})[가-힣]{{1,2}}|[{KOREAN_FAMILIES}][가-힣]{{2}})"
    rf"(?=({_KO_PARTICLES})?(?![가-힣]))"
)
_KO_SIGNS: Final = rf"[{KOREAN_FAMILIES}][가-힣]{{2}}|{_KO_LONG_FAMILY}|-[A-Za-z][a-z]"
"""A family name with a given name, in Hangul, or the hyphen of a romanized one."""
_KO_LONG: Final = re.compile(rf"(?:{_KO_LONG_FAMILY})[가-힣]")
# Endings of given names that are also particles: 설정은 is a name, or "the settings".
_KO_WEAK: Final = ("은", "나")
_KO_AFTER: Final = re.compile(
    r" ?(?:드림|올림|배상|귀하|환자|학생|선생님|과장|대리|부장|팀장|차장|씨|님)(?![가-힣]{3})"
)
_KO_BEFORE: Final = re.compile(
    r"(?:예약자|수령인|수취인|받는 ?(?:사람|분)|보내는 ?(?:사람|분)|입금자명?|작성자|담당자"
    r"|상담원|계약자|신청자|학부모|보호자|대표|참석자|친구|동생|남편|아내|동료|성함|이름)"
    r"(?:은|는|이|가|:)? ?$"
)
_KO_BEFORE_CHARS: Final = 12
_ROMAN_FAMILY: Final = (
    "Kim|Lee|Park|Choi|Jung|Jeong|Kang|Cho|Jo|Yoon|Yun|Jang|Lim|Im|Han|Oh|Seo|Shin|Kwon|Hwang|Ahn"
    "|Song|Ryu|Yoo|Yu|Hong|Jeon|Ko|Moon|Yang|Son|Bae|Baek|Heo|Nam|Noh|Ha|Kwak|Sung|Cha|Joo"
    "|Ju|Woo|Min|Na|Jin|Ji|Um|Won|Chun|Bang|Gong|Hyun|Ham|Byun|Yeom|Pyo|Koo|Gu"
)
_ROMAN_GIVEN: Final = "[A-Z][a-z]{1,6}-[A-Za-z][a-z]{1,6}"
_ROMAN: Final = re.compile(
    rf"(?<![A-Za-z-])(?:(?:{_ROMAN_FAMILY}),? {_ROMAN_GIVEN}"
    rf"|{_ROMAN_GIVEN} (?:{_ROMAN_FAMILY}))(?![A-Za-z-])"
)


def _find_korean(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of Korean names, in Hangul or romanized: `text[start:end]`."""
    for match in _KO_WORD.finditer(text):
        start, end = match.span()
        if _is_korean(match.group(), particle=match.group(1)) or (
            _is_like_korean(match.group()) and _is_next_to_person_word(text, start, end)
        ):
            yield start, end
    if "-" in text:
        for match in _ROMAN.finditer(text):
            yield match.span()


def _is_korean(word: str, *, particle: str | None) -> bool:
    given = word[-2:]
    if given not in _names("korean", "given") or word in _names("korean", "words"):
        return _KO_LONG.fullmatch(word) is not None and word[-1] in _korean_syllables()[1]
    return particle is not None or not given.endswith(_KO_WEAK)


def _is_like_korean(word: str) -> bool:
    first, second = _korean_syllables()
    return word[-2] in first and word[-1] in second and word not in _names("korean", "words")


def _is_next_to_person_word(text: str, start: int, end: int) -> bool:
    before = text[max(start - _KO_BEFORE_CHARS, 0) : start]
    return _KO_AFTER.match(text, end) is not None or _KO_BEFORE.search(before) is not None


@cache
def _korean_syllables() -> tuple[frozenset[str], frozenset[str]]:
    """Return the first and the second syllables of given names."""
    given = _names("korean", "given")
    return frozenset(name[0] for name in given), frozenset(name[1:] for name in given)


# Thai: a given name, a space, and a family name. Spaces separate phrases in Thai, too. So the given
# name is listed, or two of these speak for a name: the form of a given name, a typical part of a
# family name, and a word for a person before it. A label before it is enough.

_TH_SIGNS: Final = "[ก-๙]{2} {1,2}[ก-๙]{3}|คุณ|นาง|นาย|พี่|น้อง|ชื่อ|โดย|ทีมงาน|หมอ|ครู|อาจารย์|ป้า|ลุง|ช่าง|ผู้"
"""Two Thai words with a space between them, or a title."""
_TH_PAIR: Final = re.compile(r"(?<![ก-๙])([ก-๙]{2,28}) {1,2}(?=([ก-๙]{3,28}))")
# Words that are written before a given name without a space.
_TH_TITLE: Final = re.compile(
    r"คุณหมอ|คุณครู|คุณ|นางสาว|นาย|นาง|ผู้รับ|ผู้ส่ง|ผู้ติดต่อ|ลูกค้า|โดย|ในนาม|ในชื่อ|ชื่อ|พี่|น้อง|หมอ|ครู|ถึง|กับ|ผม"
    r"|แฟน|และ|ให้"
)
# Words with which a phrase starts, not a family name.
_TH_PHRASE: Final = re.compile(
    r"ทีมงาน|ฝ่าย|แผนก|ศูนย์|สนาม|มหาวิทยาลัย|แยก|สถานี|ขาย|บริการ|เลข|เบอร์|โทร|อายุ|ที่|อยู่|บ้าน|สั่ง|ขอ|จาก|ค่ะ|ครับ|คะ|นะ|อีเมล|รหัส|เป็น|ได้|จะ|และ|ไม่|ยัง|แจ้ง|ส่ง|รับ|ฝาก|ให้"
    r"|กับ|ใน|ของ|จำกัด|มหาชน|สาขา|สินค้า|ลูกค้า|บริษัท|ร้าน|โรง|ถนน|ราคา|สี|รุ่น|ลด|ฟรี|หมด|ดีมาก|มากๆ|ถึง|หนึ่ง"
    r"|สอง|สาม|ห้า|หก|เจ็ด|แปด|เก้า|สิบ|ร้อย|ใช้|องค์กร|ค่า|วัน|เดือน|เวลา|ตอน|ช่วง|เมื่อ|แล้ว|ว่า|หรือ|แต่|เพราะ|คือ|ทำ"
    r"|เปิด|ปิด|ต้อง|สามารถ|ควร|กำลัง|เคย|คน|ตัว|ขนาด|แบบ|ชิ้น|กล่อง|ครั้ง|พร้อม|ทั้ง|ทุก|นี้|นั้น|ไหน|อะไร|ตลาด|คอนโด"
    r"|หมู่บ้าน|โปร|มี(?!ส|ช|โ|ท)|มา(?!ก|ล)|ไป|ต่อ|เอา|ซื้อ|เข้า|ออก|กรุณา|โปรด|สวัสดี|ยินดี|นัด|เลื่อน|ขาด|อีก|ซึ่ง|ใหม่|เก่า|พ่อ|แม่ชื่อ|กลุ่ม|ประชา"
)
# What may follow a family name without a space.
_TH_NEXT: Final = re.compile(r"เป็น|ค่ะ|ครับ|คะ|นะ|สั่ง|โทร|ติดต่อ|ต้องการ|ขอ|แจ้ง|เบอร์|ยัง|ไม่|ได้|จะ")
_TH_LEAST_CHARS: Final = 4
# A given name alone counts after a title, if a space or one of these words follows.
_TH_SINGLE: Final = re.compile(
    r"(คุณ(?<!ขอบคุณ)|นางสาว|นาย|นาง|พี่|น้อง|ชื่อ|โดย|หมอ|ครู|อาจารย์|ป้า|ลุง|ช่าง|ทีมงาน:|,) ?([ก-๙]{2,28})"
    r"(?: {1,2}(?=([ก-๙]{4,28})))?"
)
# After a label, any two words are a name.
_TH_LABEL: Final = re.compile(
    r"(?:ชื่อ(?:-(?:นาม)?สกุล)? ?[::]? |(?:ผู้(?:ป่วย|รับ|ส่ง|กู้|จอง|ติดต่อ|สมัคร|แจ้ง)|ลูกค้า|คนไข้) ?[::] ?"
    r"|(?:ผู้(?:กู้|ป่วย|สมัคร|เอาประกัน|ค้ำประกัน|โดยสาร)|ลงชื่อ|คนไข้) )$"
)
_TH_PERSON: Final = re.compile(
    r"(?:ผู้[ก-๙]{2,10}|ลูกค้า|สมาชิก|นักเรียน|นักศึกษา|พนักงาน|เจ้าหน้าที่|พยาบาล|ทนาย|หัวหน้า[ก-๙]{0,8}|ผม|ดิฉัน|ฉัน|หนู|พี่|น้อง|หมอ|ครู|อาจารย์|ป้า|ลุง|ช่าง"
    r"|แฟน|สามี|ภรรยา|ลูกชาย|ลูกสาว|เพื่อน|แม่|พ่อ|ลงนามโดย|ในนาม|บัญชี|ขอบคุณ[ก-๙]{0,6}|ความนับถือ|เคารพ)\s{0,2}$"
)
_TH_PLACE: Final = re.compile(
    r"(?:ตลาด|ร้าน|โรงเรียน|โรงพยาบาล|โรงแรม|บริษัท|คลินิก|ถนน|ซอย|วัด|อาคาร|หมู่บ้าน|คอนโด|ห้าง|สาขา|มูลนิธิ|ธนาคาร|สถานี|มหาวิทยาลัย|หจก\.|บจก\.)\s?$"
)
_TH_BEFORE_CHARS: Final = 24
_TH_NICKNAME: Final = frozenset({"พี่", "น้อง", "หมอ", "ครู", "ป้า", "ลุง", "ช่าง"})
_TH_THEN: Final = re.compile(
    r"เป็น|ค่ะ|ครับ|คะ|นะ|สั่ง|โทร|ติดต่อ|ต้องการ|ขอ|แจ้ง|ยัง|ไม่|ได้|จะ|ตอบ|บอก|ส่ง|มา|ฝาก|ลา(?!ย)|นัด|อยู่|ไป|ทำ|รับ|สอน|ตรวจ|ที่|ช่วย|เข้า|ซื้อ|ฝ่าย|แผนก|จาก|หน่อย"
)


def _find_thai(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of Thai names: `text[start:end]`."""
    for pair in _TH_PAIR.finditer(text):
        family = _thai_family(pair[2])
        if not family:
            continue
        title = None if pair[1] in _names("thai", "given") else _TH_TITLE.match(pair[1])
        start = title.end() + pair.start() if title else pair.start()
        before = text[max(start - _TH_BEFORE_CHARS, 0) : start]
        if _is_thai(text[start : pair.end(1)], family, before):
            yield start, pair.start(2) + len(family)
    for single in _TH_SINGLE.finditer(text):
        given = _thai_given(single[2], nickname=single[1] in _TH_NICKNAME)
        full = given == single[2] and single[3] and _thai_family(single[3])
        if given and not full:
            yield single.start(2), single.start(2) + len(given)


def _thai_given(word: str, *, nickname: bool) -> str:
    """Return the listed given name with which a word after a title starts, or nothing."""
    for size in range(len(word), 1, -1):
        ends = size == len(word) or _TH_THEN.match(word, size)
        if ends and (
            (size >= _TH_LEAST_CHARS and word[:size] in _names("thai", "given"))
            or (nickname and word[:size] in _names("thai", "nicknames"))
        ):
            return word[:size]
    return ""


def _is_thai(given: str, family: str, before: str) -> object:
    """Return whether words are a name, after the text `before`, as a truth value."""
    if given in _names("thai", "given"):
        return True
    if (
        len(given) < 2
        or given in _thai_words()
        or _TH_PHRASE.match(given)
        or _TH_PERSON.fullmatch(given)
        or _TH_PLACE.search(before)
    ):
        return False
    if _TH_LABEL.search(before):
        return True
    is_after_person = _TH_PERSON.search(before) is not None
    if len(given) > _TH_LEAST_CHARS and _thai_given_form().search(given):
        return is_after_person or _thai_family_parts("family_parts", "family_words").search(family)
    return is_after_person and _thai_family_parts("family_parts").search(family)


def _thai_family(word: str) -> str:
    """Return the family name with which a word starts, or nothing."""
    following = _TH_NEXT.search(word, _TH_LEAST_CHARS)
    family = word[: following.start()] if following else word
    if (
        len(family) < _TH_LEAST_CHARS
        or _TH_PHRASE.match(family) is not None
        or family in _thai_words()
    ):
        return ""
    return family


@cache
def _thai_words() -> frozenset[str]:
    return _names("thai", "words") | _names("thai", "provinces")


@cache
def _thai_given_form() -> re.Pattern[str]:
    starts, endings = ("|".join(_names("thai", which)) for which in ("starts", "endings"))
    return re.compile(rf"^(?:{starts})|(?:{endings})$")


@cache
def _thai_family_parts(*which: str) -> re.Pattern[str]:
    return re.compile("|".join(part for one in which for part in _names("thai", one)))


# Vietnamese: a run of capitalized words, a family name and syllables of given names. Streets,
# schools and companies are named after people too. The word before a name, and a list of those
# people, tell them apart.

_VI_UPPER: Final = "A-ZÀ-ÃÈ-ÊÌÍÒ-ÕÙÚÝĂĐĨŨƠƯ" + "".join(map(chr, range(0x1EA0, 0x1EFA, 2)))
_VI_WORD: Final = rf"[{_VI_UPPER}][^\W\d_]{{0,6}}"
_VI_SIGNS: Final = (
    rf"[{_VI_UPPER}][\pL\pN]* [{_VI_UPPER}]"
    rf"|(?:anh|chị|ông|bà|cô|chú|bác|em|bạn|thầy|sếp|bé|dì|cậu) [{_VI_UPPER}]"
)
"""Two capitalized words in a row."""
_VI_RUN: Final = re.compile(rf"(?<![\w-]){_VI_WORD}(?: {_VI_WORD}){{1,9}}(?![\w-])")
_VI_PERSON: Final = re.compile(
    r"(?<!\w)(?:nhân viên|gửi(?: cho)?|anh|chị|cô|chú|bác|ông|bà|em|bé|bạn|cháu|khách(?: hàng)?"
    r"|thưa|tên|bác sĩ|bệnh nhân|giáo viên|học sinh|tổng đài viên|shipper|tài xế|liên hệ|vợ|chồng"
    r"|mẹ|bố|đại diện|người nhận|kính gửi|ký tên|của|dì|cậu|thầy|sếp|mình|tôi|là|do) ?:?\s$",
    re.IGNORECASE,
)
_VI_PLACE: Final = re.compile(
    r"(?<!\w)(?:đường|phố|phường|quận|huyện|xã|tỉnh|ngõ|hẻm|cầu|chợ|trường|thpt|thcs|tiểu học"
    r"|đại học|bệnh viện|sân bay|ga|hầm|nhà hàng|quán|khách sạn|công ty|tnhh|cổ phần|tập đoàn"
    r"|siêu thị|ngân hàng|rạp|thư viện|bưu điện|trạm|chung cư|tượng đài|giải|học bổng|cửa hàng"
    r"|shop|phở|bún|chè|bánh mì|vé|cà phê|taxi|xe khách|hãng|thương hiệu|tạp hóa|bảo hiểm|khu"
    r"|tòa nhà|đền|chùa|núi|đảo|hồ|sông|bến xe|ngã tư|quảng trường|công viên|nhà sách|ứng dụng"
    r"|app|sản phẩm|combo|mục|sách|ở|tại|đến|tới|từ|gần|cách|số|\d+) ?:?\s$",
    re.IGNORECASE,
)
# One or two given names after a title, such as "chị Lan".
_VI_TITLED: Final = re.compile(
    rf"(?<!\w)(?:[Aa]nh|[Cc]hị|[Ôô]ng|[Bb]à|[Cc]ô|[Cc]hú|[Bb]ác|[Ee]m|[Bb]ạn|[Tt]hầy|[Ss]ếp|[Bb]é|[Dd]ì|[Cc]ậu)"
    rf" ({_VI_WORD}(?: {_VI_WORD})?)(?![\w-]| {_VI_WORD})"
)
_VI_NOT_TITLED: Final = frozenset({"Quốc", "Văn", "Ngữ", "Em"})
# Middle names with which any given name counts.
_VI_MIDDLE: Final = frozenset({"Thị", "Văn", "Thi", "Van"})
_VI_COUNTRIES: Final = frozenset({"Hàn Quốc", "Trung Quốc", "Nhật Bản", "Thái Lan", "Hà Lan"})
_VI_LEAST_WORDS: Final = 3
_VI_BEFORE_CHARS: Final = 20


def _find_vietnamese(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of Vietnamese names: `text[start:end]`."""
    for run in _VI_RUN.finditer(text):
        words, start = run.group().split(" "), run.start()
        before = text[max(start - _VI_BEFORE_CHARS, 0) : start]
        if words[0].title() not in _vietnamese_families(words):  # the first word of a sentence
            before += words[0] + " "
            start += len(words[0]) + 1
            words = words[1:]
        titled = _VI_PERSON.search(before) is not None
        if _is_vietnamese(words, titled=titled) and _VI_PLACE.search(before) is None:
            yield start, run.end()

    for called in _VI_TITLED.finditer(text):
        words = called[1].split(" ")
        before = text[max(called.start() - _VI_BEFORE_CHARS, 0) : called.start()]
        if (
            _names("vietnamese", "given").issuperset(words)
            and _VI_NOT_TITLED.isdisjoint(words[:1])
            and called[1] not in _VI_COUNTRIES
            and called[1] not in _names("vietnamese", "not_alone")
            and _VI_PLACE.search(before) is None
        ):
            yield called.span(1)


def _is_vietnamese(words: Sequence[str], *, titled: bool) -> bool:
    """Return whether words are a family name and given names. After a title, one is enough."""
    words = [word.title() for word in words]
    if not _VI_LEAST_WORDS - titled <= len(words) <= _MOST_WORDS:
        return False
    if words[0] not in _vietnamese_families(words) or " ".join(words) in _phrases(
        "vietnamese", "places"
    ):
        return False
    if " ".join(words[-2:]) in _VI_COUNTRIES:
        return False
    if words[1] in _VI_MIDDLE and len(words) >= _VI_LEAST_WORDS:
        return True
    return _vietnamese_list("given", words).issuperset(words[1:])


def _vietnamese_families(words: Sequence[str]) -> frozenset[str]:
    return _vietnamese_list("family" if len(words) >= _VI_LEAST_WORDS else "certain_family", words)


def _vietnamese_list(which: str, words: Sequence[str]) -> frozenset[str]:
    """Return a list of names, without diacritics if the words have none."""
    if not all(word.isascii() for word in words):
        return _names("vietnamese", which)
    return _without_diacritics("certain_family" if which == "family" else which)


@cache
def _without_diacritics(which: str) -> frozenset[str]:
    """Return a list without diacritics, which many people do not type."""
    return frozenset(
        "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c))
        .replace("Đ", "D")
        .replace("đ", "d")
        for name in _names("vietnamese", which)
    )


# Hindi: a listed given name, and a family name or a second part such as सिंह after it.

_HI_LETTER: Final = "[ऀ-ॣॱ-ॿ]"
_HI_RUN: Final = re.compile(rf"{_HI_LETTER}{{2,16}}(?: {_HI_LETTER}{{2,16}}){{1,40}}")
# Words between which any word and a family name are a name.
_HI_AFTER: Final = frozenset({"को", "ने", "जी", "के", "की", "का", "से", "द्वारा"})


def _hindi_signs() -> str:
    """Return a pattern of a given name or a family name between other words."""
    listed = "|".join(sorted(_names("hindi", "given") | _names("hindi", "family")))
    return rf"(?:^|[^\x{{900}}-\x{{963}}])(?:{listed})(?:$|[^\x{{900}}-\x{{963}}])"


def _find_hindi(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of Hindi names: `text[start:end]`."""
    for run in _HI_RUN.finditer(text):
        words, start, at = run.group().split(" "), run.start(), 0
        while at < len(words):
            size = _hindi_words(words[at : at + _MOST_WORDS])
            name = " ".join(words[at : at + max(size, 1)])
            if size and not _names("hindi", "places").intersection(words[at + size :][:1]):
                yield start, start + len(name)
            start += len(name) + 1
            at += max(size, 1)


def _hindi_words(words: Sequence[str]) -> int:
    """Return the number of words of a name with which words start, or 0."""
    certain, family = _names("hindi", "given"), _names("hindi", "family")
    if words[0] not in certain and words[0] not in _names("hindi", "words"):
        followed = words[1:2] and words[1] in family and words[2:3] and words[2] in _HI_AFTER
        return 2 if followed and words[0] not in _names("hindi", "no_names") else 0
    size = 1
    while size < len(words) and (
        words[size] in _names("hindi", "middle") or words[size] in certain
    ):
        size += 1
    if size < len(words) and words[size] in family:
        return size + 1
    return size if words[0] in certain and size > 1 else 0


# Chinese: a family name and one or two characters of given names. Words have no boundaries and the
# same form, so what is before or after a name must be a word for a person, or for what persons do.

_ZH_FAMILIES: Final = (
    "王李张張刘劉陈陳杨楊黄黃赵趙吴吳周徐孙孫马馬朱胡郭何林罗羅郑鄭梁谢謝宋唐许許韩韓冯馮邓鄧曹彭曾肖蕭田董潘袁蔡"
    "蒋蔣余于杜叶葉程魏苏蘇吕呂丁任卢盧姚沈钟鍾姜崔谭譚陆陸范汪廖石金贾賈韦韋夏付方邹鄒熊白孟秦邱侯江尹薛闫段雷"
    "龙龍黎史陶贺賀毛郝顾顧龚龔邵万萬覃武钱錢戴严嚴莫孔向汤湯洪施游游柯詹簡简莊庄涂凌齐齊乔喬赖賴翁伍殷倪樊兰蘭颜顏"
    "高牛古祁鲁魯邬鄔萧司席阎閻耿巩傅冉焦阮查安柏曲常邢俞甄康葛尤岑季穆毕苗宁寧温溫欧歐骆駱蓝藍池巫卓柳佘廖包祝梅盛童麦麥管舒屈项祖桑鲍鮑霍闵解佟裴路费費岳房柴辛左尚"
)
ZH_FAMILY: Final = rf"(?:欧阳|歐陽|司马|司馬|上官|诸葛|諸葛|皇甫|尉迟|慕容|[{_ZH_FAMILIES}])"
"""Chinese family names."""
_ZH_ROLE: Final = (
    "客[户戶]|顾客|顧客|用户|用戶|患者|病人|员工|員工|职员|職員|同事|老师|老師|学生|學生|会员|會員|快递员|快遞員|外卖员|司机|司機"
    "|保安|护士|護士|医生|醫生|律师|律師|经理|經理|主管|客服|店长|店長|房东|房東|租客|业主|業主|室友|邻居|鄰居|朋友|同学|同學"
    "|(?:报案|報案|申请|申請|当事|當事|联系|聯絡|聯繫|负责|負責|委托|委託|担保|擔保|借款|投保|被保险|被保險|受益|经办|經辦|承办|承辦"
    "|法定代表|收件|寄件|收货|收貨|发件|投诉|投訴|代理|推荐|推薦|监护|監護)人|原告|被告|代表|本人|户主|戶主"
    "|(?:我|我的|他|她|我们|我們|你)?(?:太太|老婆|老公|妻子|丈夫|女儿|女兒|儿子|兒子|妈妈|媽媽|爸爸|父亲|父親|母亲|母親|哥哥|姐姐|弟弟|妹妹"
    "|老板|老闆|领导|領導|爷爷|奶奶|外公|外婆|孩子|爱人|愛人|妈|爸)|我先生|师傅|師傅|班主任|家属|家屬|乘客|车主|車主|旅客|顾问|顧問|教练|教練|店员|志愿者"
    "|[甲乙丙]方|签名|簽名|姓名|名字|[户戶]名|持卡人|车主|[^本别有个]人[：:\\s]|(?:参会|參會)人[员員]|抬头写|改成|我是|我叫|名叫"
)
_ZH_TO: Final = (
    "转告|轉告|转交|轉交|交给|交給|发给|發給|寄给|寄給|送给|送給|转给|轉給|通知|联系|聯絡|聯繫|感谢|感謝|请问|請問|叫做|找"
    '|昨天|今天|刚才|剛才|由|请|請|和|跟|与|與|给|給|叫|让|讓|[（(「“"，,。！!？?：:；;、\\s]|^'
)
_ZH_DOES: Final = (
    "签收|簽收|联系(?:电话|方式)|聯絡(?:電話|方式)|签字|簽字|反映|打过|打過|已[经經]?(?:付|签|簽|下单|下單|收|到|取|完成)|来电|來電|打电话|打電話|打来|打來|致电|致電|投诉|投訴|提交|提出|申请了|申請了|下单|下單|付款|咨询|諮詢|询问|詢問"
    "|预约|預約|预订|預訂|要求|表示|说|說|称|稱|回复|回覆|您好|你好|代收|代[签簽]|代[领領]|在吗|在嗎|在不在|已签|已簽|已付|收到|取件|收件|联系不|聯絡不|没来|沒來|入住|报名|報名"
    "|的(?:订单|訂單|账号|帳號|電話|电话|地址|快递|快遞|包裹|护照|護照|身份证|身分證|病历|病歷|手机|手機)"
)
_ZH_NEXT: Final = (
    "[今明昨本上下前去刚剛已还還没沒不在的说說称稱反签簽打提申要将將和与與约約订訂请請让讓取等退改女男]"
    "|先生|女士|小姐|经理|經理"
)
_ZH_GIVEN: Final = "(?!先生|女士|小姐|老师|老師|太太|同学|同學|医生|醫生)([一-龥]{1,2})"
_ZH_NEAR: Final = re.compile(
    rf"(?:(?P<role>(?:{_ZH_ROLE})(?:是|叫|为|為|[：:\s（(])?\s?)|(?:{_ZH_TO}))({ZH_FAMILY}){_ZH_GIVEN}"
)
_ZH_SIGNED: Final = re.compile(
    rf"^\s*({ZH_FAMILY}){_ZH_GIVEN}(?= ?(?:敬上|谨上|謹上|敬启|敬啟|上)?\s*$)", re.MULTILINE
)
_ZH_LABELED: Final = re.compile("(?:[：:\\s（(]|[名字]是|我叫)$")
_ZH_WORD_END: Final = re.compile("(?![一-龥])")
_ZH_FEW_CHARS: Final = 2  # of a name that is also a word as often as not
_ZH_ACTS: Final = re.compile(_ZH_DOES)
_ZH_ENDS: Final = re.compile(rf"(?![一-龥])|{_ZH_NEXT}")
_ZH_CLOSE: Final = re.compile("此致|敬[礼禮]|敬祝|谢谢|謝謝|感谢|感謝|祝好|商祺|[谨謹敬]上")


def _chinese_signs() -> str:
    """Return a pattern of a family name with given names, next to a person or to what one does."""
    family, given = f"[{_ZH_FAMILIES}]", "".join(sorted(_chinese_characters("given")))
    return (
        rf"{family}[{given}]{{2}}|{family}[{given}](?:{_ZH_DOES})"
        rf"|(?:{_ZH_ROLE})(?:[是叫为為：:\s（(]\s?)?{family}|{_ZH_CLOSE.pattern}\s+{family}"
    )


def _find_chinese(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of Chinese names: `text[start:end]`."""
    for match in _ZH_NEAR.finditer(text):
        role, family, given = match["role"], match[2], match[3]
        size = _chinese_chars(text, match.end(2), family, near_role=role is not None)
        if not size and role and _ZH_LABELED.search(role) and _ZH_WORD_END.match(text, match.end()):
            # After a label, any characters are a given name.
            size = len(given) if len(given) > 1 and not _is_chinese_word(family + given) else 0
        if size:
            yield match.start(2), match.end(2) + size
    if _ZH_CLOSE.search(text):
        for match in _ZH_SIGNED.finditer(text):
            if _is_chinese(match[2], match[1], len(match[2])):
                yield match.start(1), match.end(2)


def _chinese_chars(text: str, at: int, family: str, *, near_role: bool) -> int:
    """Return the number of characters of a given name at a position of a text, or 0.

    Next to a role, such as "customer", anything may follow two characters of given names.
    """
    for size in (2, 1):
        if not _is_chinese(text[at : at + size], family, size):
            continue
        if _ZH_ACTS.match(text, at + size) is not None:
            return size
        if (near_role or size + len(family) > _ZH_FEW_CHARS) and _ZH_ENDS.match(text, at + size):
            return size
    return 2 if near_role and _is_chinese(text[at : at + 2], family, 2) else 0


def _is_chinese(given: str, family: str, size: int) -> bool:
    """Return whether `size` characters are a given name, and no word with the family name."""
    known = _chinese_characters("given")
    return (
        len(given) == size
        and known.issuperset(given)
        and (size > 1 or given not in _chinese_characters("never_alone"))
        and not _is_chinese_word(family + given)
    )


def _is_chinese_word(name: str) -> bool:
    """Return whether a name is a word, or begins with one that no name begins with."""
    words = _names("chinese", "words")
    return name in words or (name[:2] in words and name[:2] not in _names("chinese", "begin_names"))


@cache
def _chinese_characters(which: str) -> frozenset[str]:
    return frozenset("".join(_names("chinese", which)))


# Latin letters, in texts of any language: a given and a family name, one of them listed. In East
# and Southeast Asia, the family name is first. Texts about authors and actors are full of such
# names, so something before or after one must say that it is a private person, or other personal
# data must be in the text.

_LATIN_UPPER: Final = "[A-ZÀ-ÖØ-Þ]"
_LATIN_REST: Final = r"(?:['’][A-Z])?[a-zà-öø-ÿ]+(?:[A-Z-][a-zà-öø-ÿA-Z]+)?"
_LATIN_WORD: Final = _LATIN_UPPER + _LATIN_REST
_LATIN_CAPITAL: Final = re.compile("[A-ZÀ-Þ]")
_LATIN_SMALL: Final = r"[A-Z]\.?|de la|de los|de|dela|del|da|dos|van der|van|von|bin|binti|al"
_LATIN_SIGNS: Final = (
    r"[A-ZÀ-Þ][a-zà-þA-Z'’-]*[a-zà-þ] (?:[a-zA-Z.]{1,3} )?[A-ZÀ-Þ][a-zà-þ'’]"
    r"|\b[A-Z]\. ?[A-Z][a-z]|ing (?:with|to) [A-Z]"
)
"""Two capitalized words in a row, or one after an initial."""
# A pattern that starts with a set of characters is searched for faster than one with a lookbehind.
_LATIN_RUN: Final = re.compile(
    rf"{_LATIN_UPPER}(?<![\w.@/&'’-].){_LATIN_REST}"
    rf"(?: (?:(?:{_LATIN_SMALL}) )?{_LATIN_WORD}){{1,5}}"
    r"(?![A-Za-zÀ-ɏḀ-ỿ0-9@&/]|['’][A-Za-zÀ-ɏḀ-ỿ]{2}|[-.][A-Za-zÀ-ɏḀ-ỿ])"
)
_LATIN_INITIAL: Final = re.compile(
    rf"[A-Z](?<![\w.].)\. ?(?:[A-Z]\. ?)?({_LATIN_WORD})(?![\w@/-]| [A-Z])"
)
_LATIN_BETWEEN: Final = re.compile(rf" (?:{_LATIN_SMALL})(?= )")
_LATIN_BEFORE: Final = re.compile(
    r"(?:(?:^|[\n,;(])[ \w]{0,24}[:=] {0,8}[\"']?|\bname(?: on [\w ]{2,20})?\?|\b(?:customer"
    r"|client|patient|tenant|student|employee|member|guest"
    r"|passenger|colleague|teammate|neighbou?r|friend|agent|driver|nurse|guardian|parent|landlord|user|named?|called"
    r"|contact(?:ed)?|call|tell|told|ask|asked|email(?:ed)?|message|text(?:ed)?|ping(?:ed)?|inform(?:ed)?|notify"
    r"|remind|met|meet|thank|for attention of|attn|cc|[wsd]/o|c/o|i am|i'm|this is|it's|myself)"
    r"|\b(?:sp[eo]a?ke?n?|deal(?:t|ing)?|talk(?:ed|ing)?|chat(?:ted)?|met|meet(?:ing)?|call|appointment|interview|liais\w+|check(?:ed)?)"
    r" (?:to|with)|\b(?:sen[dt]|ship(?:ped)?|deliver(?:ed)?|pa(?:y|id)|transfer(?:red)?"
    r"|assign(?:ed)?|forward(?:ed)?"
    r"|escalated?|gave|give|given|hand(?:ed)?|wrote|write|refund(?:ed)?|issued|addressed|belongs?|report(?:s|ed)?|it|this"
    r"|money|salary|married) to|\b(?:message|call|e?mail|order|request|payment|letter|invoice"
    r"|note|ticket|complaint|feedback"
    r"|received|heard|money) from|\b(?:raised|reported|opened|approved|signed|handled|requested"
    r"|submitted|created"
    r"|prepared|reviewed|sent|paid|booked|ordered|filed|logged|received|assigned|served|treated"
    r"|delivered) by"
    r"|\b(?:package|parcel|order|refund|appointment|ticket|account|room|table|booking|reservation|invoice|payslip|leave"
    r"|visa|ask(?:ed)?|message|cheque|prescription|results?|records?|looking|delivery"
    r"|meeting) (?:for|of)"
    r"|\b(?:address|profile|phone|number|salary|application|resume|case|birthday|father|mother|wife|husband|son"
    r"|daughter|owner|name) of|\b(?:my|his|her|our|their) \w{3,12}(?: is)?,?"
    r"|\b(?:emplead[oa]|clienta?|client[ei]|paciente|usuari[oa]|titular|beneficiari[oa]|inquilin[oa]|compañer[oa]|salariée?|locataire|bénéficiaire"
    r"|patiente?|(?:benutzer|kund|patient|mieter|kolleg|mitarbeiter|antragsteller)(?:in|e|en)?|funcionári[oa]|alun[oa]"
    r"|dipendente|paziente|inquilino|applicant|cardholder|hier ist|je suis|s['’]appelle"
    r"|se llama|habla|soy|aqui é [oa]?|sou [oa]?"
    r"|sono|tecnico|técnico|atendente|(?:mit |viele |liebe |beste |freundlichen? )+gr(?:üßen"
    r"|üße|uß)|mfg|cordialement|salutations|merci"
    r"|saludos|atentamente|gracias|atenciosamente|obrigad[oa]|saluti|grazie)[,\s]?|(?:regards|best"
    r"|cheers|sincerely|thanks),?\n)"
    r" ?$",
    re.IGNORECASE,
)
_LATIN_AFTER: Final = re.compile(
    r"(?:['’]s)? (?:says?|said|called|emailed|phoned|wants?|requested|complained|reported"
    r"|lives?|paid"
    r"|confirmed|ordered|asked (?:for"
    r"|if|about|to|us|me)|booked|submitted|signed|joined (?:us|the|our)|works|resigned|has not"
    r"|hasn't|did not|didn't"
    r"|needs?|will (?:attend|join|call|be)|is (?:on leave|our|my|not|out|waiting|asking"
    r"|calling)|from (?:HR|IT|accounts?|accounting"
    r"|sales|finance|support|the)|here\b|bol rah[aei]|ji\b|(?:phone|e-?mail|address|account"
    r"|order|salary|passport|birthday"
    r"|mobile|number|contract|leave|invoice)\b)|,? \(?(?:dob|age[d ]|born|ssn|nric|phone|tel"
    r"|mobile|id |mrn|[mf]\)|\d{2},)"
    r"| ?<[^\s<>@]+@|, (?:HR|IT|CEO|CTO|CFO|manager|director|engineer|nurse|teacher|accountant"
    r"|assistant)\b",
    re.IGNORECASE,
)
_LATIN_BEFORE_CHARS: Final = 40
_LATIN_MOST_WORDS: Final = 4
_LATIN_THE: Final = ("the ", "The ")


# Words of texts about people of public life, and of questions about them.
_LATIN_PUBLIC: Final = re.compile(
    r"\b(?:novels?|books?|films?|movies?|act(?:or|ress)|sing(?:er|s)|rapper|bands?|albums?|songs?|writes?|wrote|written|author"
    r"|poets?|poems?|stor(?:y|ies)|trilogy|directed|starring|stars?|played?|president|senator|king|queen|emperor|minister"
    r"|famous|invent\w*|discover\w*|scientists?|philosoph\w*|physic\w*|nobel|oscars?|award\w*|champion\w*|league|tennis"
    r"|football|basketball|cricket|games?|series|episodes?|tv|shows?|characters?|comics?|superhero|battle|war|century|paint\w*"
    r"|museum|theorem|theory|named after|founder|ceo|assassinat\w*|killed|died|historical"
    r"|history|biography|quote[sd]?"
    r"|election|revolution|religio\w*|patent|copyright|licen[cs]e|contribut\w*|original"
    r"|based on|implement\w*|algorithm"
    r"|paper|et al|published|which|whose|buried|candidates|voted?|celebrit\w*|fictional"
    r"|real name|fans?)\b|^(?:who|which|what|whose"
    r"|when|where|why)\b",
    re.IGNORECASE | re.MULTILINE,
)
_LATIN_WORDS: Final = re.compile(
    r"(?<![\w-])[a-z]{2,}(?![\w-])[\s\S]+?(?<![\w-])[a-z]{2,}(?![\w-])"
)
"""Two ordinary words."""


_LATIN_SPEAKING: Final = re.compile(
    rf"\b(?:speaking|chatting|talking) (?:with|to) ({_LATIN_WORD})(?! [A-Z]|[\w@-])"
)


def _find_english(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of names in an English text, unless it is about people of public life."""
    for agent in _LATIN_SPEAKING.finditer(text):
        if agent[1] in _names("latin", "given"):
            yield agent.span(1)
    yield from _latin_of_persons(text, is_english=True)


def _find_latin(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of names of private persons in Latin letters: `text[start:end]`."""
    yield from _latin_of_persons(text, is_english=False)


def _latin_of_persons(text: str, *, is_english: bool) -> Iterator[tuple[int, int]]:
    found = list(find_latin_names(text))
    private = (
        bool(found)
        and is_english
        and _LATIN_WORDS.search(text) is not None
        and _LATIN_PUBLIC.search(text) is None
    )
    for start, end in found:
        if (
            private
            or _LATIN_AFTER.match(text, end)
            or _LATIN_BEFORE.search(text[max(start - _LATIN_BEFORE_CHARS, 0) : start])
        ):
            yield start, end


def find_latin_names(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of names of any persons in Latin letters: `text[start:end]`."""
    if _LATIN_CAPITAL.search(text) is None:
        return
    given, other = _latin_given(), _names("latin", "no_names")
    for run in _LATIN_RUN.finditer(text):
        start, end = run.span()
        words = _LATIN_BETWEEN.sub("", run.group()).split(" ")
        while (
            len(words) > 1
            and words[0] not in given
            and (
                words[0] in other
                or (len(words) > 2 and words[1] in given)
                or (len(words) > 2 and _SENTENCE_START.search(text[max(start - 2, 0) : start]))
            )
        ):
            start += len(words[0]) + 1
            words = words[1:]
        if _is_latin(words) and not text.endswith(_LATIN_THE, 0, start):
            yield start - 4 * text.endswith("Ma. ", 0, start), end
    for initial in _LATIN_INITIAL.finditer(text):
        if initial[1] in _names("latin", "family"):
            yield initial.span()


def _is_latin(words: Sequence[str]) -> bool:
    """Return whether words are a given and a family name, of which one is listed."""
    given, either = _latin_given(), _names("latin", "words")
    family = _names("latin", "family")
    if not 1 < len(words) <= _LATIN_MOST_WORDS or not _names("latin", "no_names").isdisjoint(words):
        return False
    both_given = words[0] in given and words[1] in given
    unknown = sum(not (word in given or word in either or word in family) for word in words)
    if unknown < 2 + both_given and (words[0] in given or words[-1] in family):
        return True
    eastern = words[0] in family or words[0] in _names("latin", "family_first")
    return eastern and all(word in given or word in either for word in words[1:])


@cache
def _latin_given() -> frozenset[str]:
    """Return given names in Latin letters, also the Indonesian ones that are no words."""
    words = _names("indonesian", "words") | _names("indonesian", "no_names")
    return _names("latin", "given") | (_names("indonesian", "given") - words)


class _Language(NamedTuple):
    """How to find names in a language, and an RE2 pattern that texts with names match."""

    find: Callable[[str], Iterator[tuple[int, int]]]
    signs: Callable[[], str]


_BY_LATIN: Final = _Language(_find_latin, lambda: _LATIN_SIGNS)
_ENGLISH: Final = _Language(_find_english, lambda: _LATIN_SIGNS)
_INDONESIAN: Final = _Language(_find_indonesian, lambda: _ID_SIGNS)
_VIETNAMESE: Final = _Language(_find_vietnamese, lambda: _VI_SIGNS)
_CHINESE: Final = _Language(_find_chinese, _chinese_signs)
_BY_LANGUAGE: Final = {
    "en": _ENGLISH,
    "tl": _ENGLISH,
    "hi": _Language(_find_hindi, _hindi_signs),
    "id": _INDONESIAN,
    "ko": _Language(_find_korean, lambda: _KO_SIGNS),
    "ms": _INDONESIAN,
    "th": _Language(_find_thai, lambda: _TH_SIGNS),
    "vi": _VIETNAMESE,
    "zh-Hans": _CHINESE,
    "zh-Hant": _CHINESE,
}
LANGUAGES: Final = tuple(_BY_LANGUAGE)
"""Codes of the languages whose names are found without a title."""
# A text too short to tell its language is searched for the names of all of them.
_ALSO: Final = {UNKNOWN: ("en", "hi", "id", "ko", "th", "vi", "zh-Hans"), "mr": ("hi",)}


def is_public(name: str) -> bool:
    """Return whether a name is that of a person of history or public life, or of a brand."""
    return name in _phrases("public", "names")


def find_listed_names(text: str, languages: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions of names of persons in a text: `text[start:end]`, without the title."""
    for language in _languages(tuple(languages)):
        yield from language.find(text)


def listed_name_signs(languages: Iterable[str]) -> str:
    """Return a pattern that texts with names in the languages match. It may be empty."""
    return "|".join(language.signs() for language in _languages(tuple(languages)))


def contains_listed_name(text: str) -> bool:
    """Return whether a text contains a name in any of the languages."""
    return any(next(language.find(text), None) for language in _languages(LANGUAGES))


@lru_cache(maxsize=256)
def _languages(codes: tuple[str, ...]) -> tuple[_Language, ...]:
    every = (code for one in codes for code in _ALSO.get(one, (one,)))
    own = dict.fromkeys(_BY_LANGUAGE[code] for code in every if code in _BY_LANGUAGE)
    # In these languages, names have Latin letters.
    with_own_rules = _ENGLISH in own or set(own) in ({_INDONESIAN}, {_VIETNAMESE})
    return tuple(own) if with_own_rules else (*own, _BY_LATIN)


@cache
def _names(language: str, which: str) -> frozenset[str]:
    """Return a list of names, such as the `given` names of `korean`."""
    return frozenset(_read(language)[which].split())


@cache
def _phrases(language: str, which: str) -> frozenset[str]:
    """Return a list of names of several words, separated by bars and line ends."""
    return frozenset(filter(None, _read(language)[which].replace("\n", "|").split("|")))


@cache
def _read(language: str) -> dict[str, str]:
    file = files("service.datasets.personal_data").joinpath("name_lists", f"{language}.toml")
    return tomllib.loads(file.read_text("utf-8"))
