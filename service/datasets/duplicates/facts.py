"""Facts of a text that decide what it means: negations, dates, opposites, places, and names.

Two texts of the same form with other facts are not copies. Digits are compared apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

# Negations, months and days, and numbers, in the languages of the data desk.
_WORDS = """
no not never none nothing nobody without neither nor except unless non false wrong
incorrect tidak tak bukan belum jangan nggak enggak gak ga ndak tanpa kecuali dilarang
không chưa chẳng đừng trừ cấm nein nicht kein keine keinen pas sans sin jamás

january february march april may june july august september october november december
jan feb mar apr jun jul aug sep sept oct nov dec januari februari maret mei juni juli
agustus oktober desember monday tuesday wednesday thursday friday saturday sunday
weekday weekdays weekend weekends senin selasa rabu kamis jumat sabtu minggu ahad today
tomorrow yesterday tonight noon midnight am pm besok kemarin lusa

one two three four five six seven eight nine ten eleven twelve thirteen fifteen twenty
thirty forty fifty sixty hundred thousand million first second third fourth fifth half
double twice once quarter dozen satu dua tiga empat lima enam tujuh delapan sembilan
sepuluh sebelas belas puluh ratus seratus ribu seribu juta setengah một hai ba bốn năm
sáu bảy tám chín mười mươi trăm nghìn ngàn triệu nửa
"""
_FACT_WORDS = frozenset(_WORDS.split())
# Words that matter only where one of the same line replaces them: a synonym is no other fact.
_OPPOSITES = """
before|after|sebelum|sesudah|setelah|trước|sau|之前|之后|之後|以前|以后|以後|の前|の後|前に|後に|이전|이후|ก่อน|หลัง
open|opens|opened|opening|close|closes|closed|closing|buka|tutup|mở|đóng|เปิด|ปิด|開|閉|开|关
more|less|fewer|increase|decrease|increases|decreases|rise|rises|fall|falls|naik|turun|tăng|giảm|増|減|增|减|เพิ่ม|ลด
buy|buys|bought|sell|sells|sold|beli|jual|mua|bán|买|卖|買|賣|ซื้อ|ขาย
on|off|up|down|left|right|kiri|kanan|trái|phải|左|右|上|下|ซ้าย|ขวา
hot|cold|warm|panas|dingin|nóng|lạnh|ร้อน|หนาว
minimum|maximum|min|max|以上|以下|最大|最小|above|below|over|under
enable|disable|enabled|disabled|allowed|forbidden|free|paid|new|used
big|small|large|little|high|low|old|young|besar|kecil|lớn|nhỏ
male|female|men|women|man|woman|男|女|男性|女性|ชาย|หญิง
red|blue|green|yellow|black|white|orange|purple|pink|brown|gray|grey|merah|biru|hijau|kuning|hitam|putih
đỏ|xanh|vàng|đen|trắng|红|蓝|绿|黄|黑|白|赤|青|緑|黒|빨간|파란|검은|สีแดง|สีดำ|สีขาว|สีเขียว|สีฟ้า
morning|afternoon|evening|night|pagi|siang|sore|malam|sáng|trưa|chiều|tối|早上|中午|晚上|上午|下午|เช้า|บ่าย|ค่ำ
""".strip().split("\n")
# Function words that matter where one of the same line replaces another.
_FUNCTION_OPPOSITES = """
and|or
from|to
must|may
with|without
he|she
his|her
who|when|where|why|how
""".strip().split("\n")


def _lines_of_words(lines: list[str]) -> dict[str, frozenset[int]]:
    return {
        word: frozenset(at for at, line in enumerate(lines) if word in line.split("|"))
        for line in lines
        for word in line.split("|")
    }


_LINES, _FUNCTION_LINES = _lines_of_words(_OPPOSITES), _lines_of_words(_FUNCTION_OPPOSITES)
_SPACELESS_SIDED = re.compile("|".join(word for word in _LINES if word[0] >= "\u0e00"))
_PLACES = (
    "東京|大阪|京都|名古屋|札幌|福岡|横浜|神戸|仙台|広島|沖縄|北海道|日本|韓国|中国|台湾|米国|アメリカ|タイ国|ベトナム|"
    "北京|上海|广州|廣州|深圳|杭州|成都|武汉|南京|天津|重庆|西安|香港|台北|高雄|臺北|新加坡|泰国|美国|越南|韩国|英国|法国|德国|"
    "서울|부산|대구|인천|광주|대전|울산|제주|한국|일본|중국|미국|태국|베트남|"
    "กรุงเทพ|เชียงใหม่|ภูเก็ต|ขอนแก่น|พัทยา|หาดใหญ่|โคราช|ชลบุรี|ประเทศไทย|ญี่ปุ่น|เกาหลี|สิงคโปร์|เวียดนาม"
)
_SPACELESS_FACTS = re.compile(
    f"{_PLACES}|"
    # Japanese
    "[月火水木金土日]曜|今日|本日|明日|昨日|午前|午後|今週|来週|先週|今月|来月|先月|今年|来年|去年|平日|週末|祝日|ません|ない|なかった|なし|"
    "いいえ|禁止|"
    "[一二三四五六七八九十百千万半]+(?=[時日月年個円人回分週歳階番点つ本枚])|"
    # Chinese
    "(?:星期|周|週|礼拜|禮拜)[一二三四五六天日]|今天|明天|昨天|后天|後天|"
    "[一二三四五六七八九十百千万萬两兩半]+(?=[点點号號个個元块塊次天岁歲件小])|不|没|沒|别|別(?=[的])|未|非|勿|无|無|"
    # Korean
    "[월화수목금토일]요일|오늘|내일|어제|오전|오후|주말|평일|없|않|못|아니|하나|둘|셋|넷|다섯|여섯|일곱|여덟|아홉|"
    # Thai
    "มกราคม|กุมภาพันธ์|มีนาคม|เมษายน|พฤษภาคม|มิถุนายน|กรกฎาคม|สิงหาคม|กันยายน|ตุลาคม|พฤศจิกายน|ธันวาคม|"
    "จันทร์|อังคาร|วันพุธ|พฤหัส|วันศุกร์|วันเสาร์|อาทิตย์|วันนี้|พรุ่งนี้|เมื่อวาน|ไม่|มิได้|ห้าม|อย่า(?!ง)|ยกเว้น|"
    "หนึ่ง|สอง|สาม|สี่|ห้า|หก|เจ็ด|แปด|เก้า|สิบ|ร้อย|หมื่น|แสน"
)
_TITLED = re.compile(
    "([\u4e00-\u9fff]{1,3}|[\u30a1-\u30fa\u30fc]{2,8})(?:様|さま|さん|氏|君)|"
    "([\u4e00-\u9fff]{1,2})(?:先生|女士|小姐|太太|经理|老师|總|总)|"
    "([\uac00-\ud7a3]{2,4}) ?(?:님|씨)|"
    "(?<!ขอบ)(?:คุณ|นางสาว|นาง|นาย|น้อง)([\u0e01-\u0e4e]{4})"
)
# A word that does not begin a sentence.
_INNER_WORD = re.compile(r"(?<=[^\s.!?:;\"“”(\[\n*#>-] )[^\W\d_]\w+")
_ORDINARY = frozenset(["i", "ok", "the"])
_SPACELESS = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]")


@lru_cache(maxsize=4096)
def terms(wording: str) -> Counter[str]:
    """Return the facts of a wording, except numbers and capitalized names."""
    found = Counter(word for word in wording.split() if word in _FACT_WORDS)
    if _SPACELESS.search(wording):
        found.update(_SPACELESS_FACTS.findall(wording))
        found.update("".join(match.groups("")) for match in _TITLED.finditer(wording))
    return found


def opposed(one: str, other: str) -> list[tuple[str, str]]:
    """Return pairs of opposites, of which each is in only one of two wordings."""
    first, second = opposites(one), opposites(other)
    if first == second:
        return []
    mine, theirs = sorted(first - second), sorted(second - first)
    return [
        (word, against) for word in mine for against in theirs if _LINES[word] & _LINES[against]
    ]


def oppose(old: Iterable[str], new: Iterable[str]) -> bool:
    """Whether a function word is an opposite of one that replaces it: `from` and `to`."""
    none: frozenset[int] = frozenset()
    return any(
        _FUNCTION_LINES.get(word, none) & _FUNCTION_LINES.get(against, none)
        for word in old
        for against in new
    )


@lru_cache(maxsize=4096)
def opposites(wording: str) -> frozenset[str]:
    """Return the words of a wording that have an opposite."""
    found = {word for word in wording.split() if word in _LINES}
    if _SPACELESS.search(wording):
        found.update(_SPACELESS_SIDED.findall(wording))
    return frozenset(found)


def without_facts(wording: str) -> str:
    """Return a wording with dates, places, and the like of scripts without spaces as 0."""
    return _SPACELESS_FACTS.sub("0", wording) if _SPACELESS.search(wording) else wording


@lru_cache(maxsize=4096)
def names(text: str) -> frozenset[str]:
    """Return the capitalized words inside the sentences of a text, in folded case."""
    if text.isupper():
        return frozenset()
    found = {word.casefold() for word in _INNER_WORD.findall(text) if word[0].isupper()}
    return frozenset(found - _ORDINARY)
