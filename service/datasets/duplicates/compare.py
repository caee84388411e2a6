"""Compares two rows turn by turn: whether they mean the same, or differ in facts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np

from service.datasets.duplicates.minhash import normalize
from service.datasets.duplicates.wording import (
    are_same,
    is_open,
    numbers,
    strip_punctuation,
    wording,
)
from service.datasets.rows.conversation import Conversation, split_row

# Negations, months and days, and numbers, in the languages that the service knows.
_NEGATIONS = """
no not never none nothing nobody without neither nor except unless non false wrong
incorrect tidak tak bukan belum jangan nggak enggak gak ga ndak tanpa kecuali dilarang
không chưa chẳng đừng trừ cấm nein nicht kein keine keinen pas sans sin jamás nunca não
hindi wala huwag bawal नहीं मत बिना
"""
_WORDS = """
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
zwei drei vier fünf sechs sieben acht neun zehn elf zwölf zwanzig dreißig hundert tausend
deux trois quatre cinq sept huit neuf dix onze douze vingt trente cent mille
dos tres cuatro cinco seis siete ocho nueve diez once doce quince veinte treinta cien mil
dois duas três quatro sete oito nove dez doze vinte trinta cem
isa dalawa dalawang tatlo tatlong apat limang anim pito pitong walo walong siyam sampu sampung
dalawampung tatlumpung दो तीन चार पाँच पांच छह सात आठ नौ दस बीस तीस पचास सौ हज़ार हजार

januar februar märz mai juni juli oktober dezember montag dienstag mittwoch donnerstag freitag
samstag sonntag janvier février mars avril juin juillet août septembre octobre novembre décembre
lundi mardi mercredi jeudi vendredi samedi dimanche enero febrero marzo abril mayo junio julio
agosto septiembre octubre noviembre diciembre lunes martes miércoles jueves viernes sábado domingo
lunes martes miyerkules huwebes biyernes sabado linggo सोमवार मंगलवार बुधवार गुरुवार शुक्रवार शनिवार
रविवार
"""
NEGATIONS = frozenset(_NEGATIONS.split())
"""Negations in languages that are written with spaces."""

_FACT_WORDS = NEGATIONS | frozenset(_WORDS.split())
# Opposites: a word matters only if another one of its line replaces it. A synonym does not matter.
_OPPOSITES = """
before|after|sebelum|sesudah|setelah|trước|sau|之前|之后|之後|以前|以后|以後|の前|の後|前に|後に|이전|이후|ก่อน|หลัง
open|opens|opened|opening|close|closes|closed|closing|buka|tutup|mở|đóng|เปิด|ปิด|開|閉|开|关
more|less|fewer|increase|decrease|increases|decreases|rise|rises|fall|falls|naik|turun|tăng|giảm|増|減|增|减|เพิ่ม|ลด
buy|buys|bought|sell|sells|sold|beli|jual|mua|bán|买|卖|買|賣|ซื้อ|ขาย
on|off|up|down|left|right|kiri|kanan|trái|phải|左|右|上|下|ซ้าย|ขวา
hot|cold|warm|panas|dingin|nóng|lạnh|ร้อน|หนาว
minimum|maximum|min|max|以上|以下|最大|最小|above|below|over|under
enable|disable|enabled|disabled|allowed|forbidden|free|paid|new|used
floor|ceiling
least|most|greatest|smallest|largest|fewest|first|last
big|small|large|little|high|low|old|young|besar|kecil|lớn|nhỏ
male|female|men|women|man|woman|男|女|男性|女性|ชาย|หญิง
red|blue|green|yellow|black|white|orange|purple|pink|brown|gray|grey|merah|biru|hijau|kuning|hitam|putih
đỏ|xanh|vàng|đen|trắng|红|蓝|绿|黄|黑|白|赤|青|緑|黒|빨간|파란|검은|สีแดง|สีดำ|สีขาว|สีเขียว|สีฟ้า
👍|👎
morning|afternoon|evening|night|pagi|siang|sore|malam|sáng|trưa|chiều|tối|早上|中午|晚上|上午|下午|เช้า|บ่าย|ค่ำ
""".strip().split("\n")
# Function words that matter only if another one of their line replaces them.
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
_SPACELESS_OPPOSITES = re.compile("|".join(word for word in _LINES if word[0] >= "\u0e00"))
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
    "[一二三四五六七八九十百千万半两兩]+(?=[時日月年個円人回分週歳階番点つ本枚])|"
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
def decisive_terms(wording: str) -> Counter[str]:
    """Return the facts of a wording, except numbers and capitalized names."""
    found = dates_and_numbers(wording)
    if _SPACELESS.search(wording):
        found.update("".join(match.groups("")) for match in _TITLED.finditer(wording))
    return found


def dates_and_numbers(wording: str) -> Counter[str]:
    """Return the dates, number words and negations of a wording, and its well-known places."""
    found = Counter(word for word in wording.split() if word in _FACT_WORDS)
    if _SPACELESS.search(wording):
        found.update(_SPACELESS_FACTS.findall(wording))
    return found


def opposed_words(one: str, other: str) -> list[tuple[str, str]]:
    """Return pairs of opposites, each word of which is in only one of two wordings."""
    first, second = opposites(one), opposites(other)
    if first == second:
        return []
    mine, theirs = sorted(first - second), sorted(second - first)
    return [
        (word, against) for word in mine for against in theirs if _LINES[word] & _LINES[against]
    ]


def oppose(old: Iterable[str], new: Iterable[str]) -> bool:
    """Return whether a function word replaces its opposite, such as `from` and `to`."""
    none: frozenset[int] = frozenset()
    return any(
        _FUNCTION_LINES.get(word, none) & _FUNCTION_LINES.get(against, none)
        for word in old
        for against in new
    )


@lru_cache(maxsize=4096)
def opposites(wording: str) -> frozenset[str]:
    """Return the words of a wording that have opposites."""
    found = {word for word in wording.split() if word in _LINES}
    if _SPACELESS.search(wording):
        found.update(_SPACELESS_OPPOSITES.findall(wording))
    return frozenset(found)


def without_facts(wording: str) -> str:
    """Return a wording with 0 for dates, places and other facts in scripts without spaces."""
    return _SPACELESS_FACTS.sub("0", wording) if _SPACELESS.search(wording) else wording


@lru_cache(maxsize=4096)
def names(text: str) -> frozenset[str]:
    """Return the capitalized words of a text that do not start a sentence, in folded case."""
    if text.isupper():
        return frozenset()
    found = {word.casefold() for word in _INNER_WORD.findall(text) if word[0].isupper()}
    return frozenset(found - _ORDINARY)


# Words, or single characters of scripts without spaces, with their combining marks.
_UNITS = re.compile(
    "[\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]"
    "|[\u0e01-\u0eff\u1000-\u103f\u1780-\u17d3][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ecd\u102b-\u103e\u17b4-\u17d3]*"
    "|\\d+|[^\\s\\d\u0e01-\u0eff\u1000-\u103f\u1780-\u17d3\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]+"
)
# A character of a script without spaces is worth about a third of a word.
_IS_CHARACTER = re.compile("[\u0e01-\u0eff\u1000-\u103f\u1780-\u17d3\u3005-\uffff]")
_CHARACTERS_A_WORD = 3
# A shorter text is never merely reworded: each replaced word changes its topic.
_SHORT_WORDS = 9
# Differences with at most this many equal characters between them count as one: 損坏 and 破损.
_MAX_EQUAL_BETWEEN = 1
# Between their common start and end, two texts of the same form differ in a fact of a few words, or
# share at least half of their words.
_MAX_FACT_WORDS, _MIN_SHARED_BETWEEN = 5, 0.5
# Texts with more units are not aligned, because the time grows with the square of the length.
_MAX_UNITS = 20_000
_FUNCTION_WORD_LIST = """
a an the is are was were be been do does did i you we they he she it my your our their
his her its me us this that these those to of in at for by with from and or but so if
then as can could will would shall should must may might have has had there here what
which who how when where why get got just really very also s re ll ve m d
yang di ke dari untuk dan atau ini itu saya anda kami kita bisa dapat agar supaya pada
dengan apa adalah akan sudah telah
là của và cho với thì mà những các tôi bạn anh chị em mình được có sẽ đã đang này đó rồi
ở tại vào từ gì nào sao
"""
_FUNCTION_WORDS = frozenset(_FUNCTION_WORD_LIST.split())
_FUNCTION_CHARACTERS = frozenset(
    "的了地得把被将將就都也会會能可以要想我你他她它们們这這那是在和与與跟给給对對从從为為個个怎么麼什吗嗎呢就所"
    "은는이가을를의에와과"
)
_IS_HIRAGANA = re.compile("[\u3041-\u309f]")

_IDENTIFIER = re.compile(r"\w*_\w+|\w+(?=\()")

Facts = tuple[str, ...]


class Wording(NamedTuple):
    """A text prepared for comparison.

    `said` is the text without punctuation and politeness. `units` are its words, or its characters
    in scripts without spaces.
    """

    text: str
    said: str
    units: list[str]


class Change(NamedTuple):
    """A difference between two texts: the units of each."""

    old: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def facts(self) -> Facts:
        """The facts that differ: content words, and function words that are opposites."""
        if are_same(self.old, self.new):
            return ()
        if oppose(self.old, self.new):
            return (*(f"-{unit}" for unit in self.old), *(f"+{unit}" for unit in self.new))
        old = [f"-{unit}" for unit in self.old if is_content(unit)]
        return (*old, *(f"+{unit}" for unit in self.new if is_content(unit)))


class Comparison(NamedTuple):
    """How alike two texts or rows are.

    `similarity` is the share of words (characters in scripts without spaces) that they share in the
    same order, from 0 to 1, ignoring punctuation, politeness, and the values of numbers. `facts`
    are the facts that differ, except numbers. Two texts that differ from a third one in the same
    facts have equal `facts`.
    """

    similarity: float
    facts: Facts
    same_numbers: bool

    @property
    def same(self) -> bool:
        """Whether the texts mean the same."""
        return self.same_numbers and not self.facts


@lru_cache(maxsize=4096)
def parse_text(text: str) -> Wording:
    """Prepare a text for comparison. If a text is only polite, its politeness counts."""
    normal = normalize(text)
    said = wording(normal) or strip_punctuation(normal) or normal
    return Wording(text, said, _UNITS.findall(said))


def compare(one: Wording, other: Wording, *, threshold: float) -> Comparison | None:
    """Compare two texts. Returns None if their similarity is below the threshold."""
    return compare_all((one,), (other,), threshold=threshold)


def compare_all(
    some: Sequence[Wording],
    others: Sequence[Wording],
    *,
    threshold: float,
    can_be_reworded: bool = True,
) -> Comparison | None:
    """Compare two rows turn by turn. Returns None if any turn is not similar.

    If they cannot be reworded, each other word is another fact.
    """
    if len(some) != len(others):
        return None
    shared, total = 0.0, 0
    for one, other in zip(some, others, strict=True):
        similarity = _similarity(one, other)
        if similarity < threshold:
            return None
        weight = len(one.units) + len(other.units)
        shared += similarity * weight
        total += weight
    facts: list[str] = []
    same_numbers = True
    changes = [_changes(one, other) for one, other in zip(some, others, strict=True)]
    is_reworded = can_be_reworded and _is_reworded(some, changes)
    for at, (one, other) in enumerate(zip(some, others, strict=True)):
        if one.said != other.said:
            facts += (f"{at}{fact}" for fact in _differing_facts(one, other))
            same_numbers &= numbers(one.said) == numbers(other.said)
        if not is_reworded:
            facts += (f"{at}{fact}" for change in changes[at] for fact in change.facts)
    return Comparison(shared / total if total else 1.0, tuple(facts), same_numbers)


def are_similar(some: Sequence[Wording], others: Sequence[Wording], *, threshold: float) -> bool:
    """Return whether `compare_all` finds two rows similar. Faster, because facts are ignored."""
    return len(some) == len(others) and all(
        _similarity(one, other) >= threshold for one, other in zip(some, others, strict=True)
    )


def similarity(some: Sequence[Wording], others: Sequence[Wording]) -> float:
    """Return the similarity of two rows with equally many turns, even if it is low."""
    shared, total = 0.0, 0
    for one, other in zip(some, others, strict=True):
        weight = len(one.units) + len(other.units)
        shared += _similarity(one, other) * weight
        total += weight
    return shared / total if total else 1.0


def _similarity(one: Wording, other: Wording) -> float:
    """Return the share of common units. Numbers and dates count as equal.

    A long common frame, such as the instruction before a text to classify, does not make two texts
    similar.
    """
    if one.said == other.said:
        return 1.0
    if max(len(one.units), len(other.units)) > _MAX_UNITS:
        return 0.0
    # Most files have no rows that are similar enough to be compared.
    from rapidfuzz.distance import Indel, Postfix, Prefix

    some, others = _form(one.said), _form(other.said)
    whole = float(Indel.normalized_similarity(some, others))
    start = Prefix.similarity(some, others)
    some, others = some[start:], others[start:]
    end = Postfix.similarity(some, others)
    some, others = some[: len(some) - end], others[: len(others) - end]
    if word_count(max(some, others, key=len)) <= _MAX_FACT_WORDS:
        return whole
    between = float(Indel.normalized_similarity(some, others))
    return whole if between >= _MIN_SHARED_BETWEEN else min(whole, between)


@lru_cache(maxsize=4096)
def _form(said: str) -> list[str]:
    return ["0" if unit.isdigit() else unit for unit in _UNITS.findall(without_facts(said))]


def _differing_facts(one: Wording, other: Wording) -> Facts:
    """Return the facts that differ even if one text is a rewording of the other."""
    facts: list[str] = []
    first, second = decisive_terms(one.said), decisive_terms(other.said)
    if first != second:
        facts += (f"-{term}" for term in sorted((first - second).elements()))
        facts += (f"+{term}" for term in sorted((second - first).elements()))
    for mine, theirs in opposed_words(one.said, other.said):
        facts += (f"-{mine}", f"+{theirs}")
    named, others = names(one.text), names(other.text)
    facts += (f"-{name}" for name in sorted(named - others - set(other.units)))
    facts += (f"+{name}" for name in sorted(others - named - set(one.units)))
    return tuple(facts)


def word_count(units: list[str]) -> float:
    """Return the number of words. A character of a script without spaces is a third of one."""
    characters = sum(1 for unit in units if _IS_CHARACTER.match(unit))
    return len(units) - characters + characters / _CHARACTERS_A_WORD


def _changes(one: Wording, other: Wording) -> list[Change]:
    """Return the differences between two texts, ignoring numbers."""
    if one.said == other.said:
        return []
    from rapidfuzz.distance import Levenshtein

    spans: list[list[int]] = []
    for step in Levenshtein.opcodes(one.units, other.units):
        if step.tag == "equal":
            continue
        between = one.units[spans[-1][1] : step.src_start] if spans else []
        if spans and len(between) <= _MAX_EQUAL_BETWEEN and all(map(_IS_CHARACTER.match, between)):
            spans[-1][1], spans[-1][3] = step.src_end, step.dest_end
        else:
            spans.append([step.src_start, step.src_end, step.dest_start, step.dest_end])
    return [
        Change(_without_numbers(one.units[start:end]), _without_numbers(other.units[new:new_end]))
        for start, end, new, new_end in spans
    ]


def _without_numbers(units: list[str]) -> tuple[str, ...]:
    return tuple(unit for unit in units if not unit.isdigit())


def _is_reworded(texts: Sequence[Wording], changes: list[list[Change]]) -> bool:
    """Return whether the changes are a rewording, which keeps the meaning.

    A changed fact is one change, or the same change in question and answer. A rewording replaces
    several unrelated words in each.
    """
    changed = [(text, found) for text, found in zip(texts, changes, strict=True) if found]
    fewest = 3 if len(texts) == 1 else 2
    if len(changed) < min(len(texts), 2) or any(
        len(found) < fewest or word_count(text.units) < _SHORT_WORDS for text, found in changed
    ):
        return False
    every = [change for _, found in changed for change in found if change.facts]
    if any(_is_code(text, change) for text, found in changed for change in found):
        return False
    swapped = any({Change(one.new, one.old) for one in found} & {*found} for _, found in changed)
    return len(set(every)) == len(every) and not swapped and all(map(_replaces, every))


def _is_code(text: Wording, change: Change) -> bool:
    """Return whether a change replaces part of an identifier, such as `decode_header`."""
    return not {part for name in _identifiers(text.text) for part in name}.isdisjoint(change.old)


@lru_cache(maxsize=4096)
def _identifiers(text: str) -> list[list[str]]:
    return [name.split("_") for name in _IDENTIFIER.findall(text.casefold())]


def _replaces(change: Change) -> bool:
    """Return whether a change replaces words. Single characters cannot show that, so they count."""
    return bool(change.old and change.new) or all(map(_IS_CHARACTER.match, change.old + change.new))


def is_content(unit: str) -> bool:
    """Return whether a unit is not a function word."""
    return not (unit in _FUNCTION_WORDS or unit in _FUNCTION_CHARACTERS or _IS_HIRAGANA.match(unit))


_decode = msgspec.json.Decoder(dict[str, Any]).decode
Offsets = np.ndarray[Any, np.dtype[np.int64]]


class RowText(NamedTuple):
    """The turns of a row, except the system prompt.

    `last` is the index of the last turn that is trained on, or the number of turns.
    """

    roles: tuple[str, ...]
    turns: tuple[Wording, ...]
    last: int

    @property
    def question(self) -> Wording:
        """The last question, or an empty text."""
        asked = [
            turn
            for role, turn in zip(self.roles[: self.last], self.turns, strict=False)
            if role == "user"
        ]
        return asked[-1] if asked else parse_text("")

    @property
    def before_answer(self) -> RowText:
        """The turns before the last one that is trained on."""
        return self._replace(roles=self.roles[: self.last], turns=self.turns[: self.last])

    @property
    def asks_one_thing(self) -> bool:
        """Whether there is a question with one right answer, unlike a request for a poem."""
        return bool(self.question.said) and not is_open(self.question.said)

    @property
    def answer(self) -> Wording:
        """The last answer that is trained on, or an empty text."""
        return self.turns[self.last] if self.last < len(self.turns) else parse_text("")

    def is_like(self, other: RowText, *, threshold: float) -> bool:
        """Return whether `compare` finds a similarity. Faster, because facts are ignored."""
        return self.roles == other.roles and are_similar(
            self.turns, other.turns, threshold=threshold
        )

    def compare(self, other: RowText, *, threshold: float) -> Comparison | None:
        """Compare two rows turn by turn. Returns None if roles or any turns differ."""
        if self.roles != other.roles:
            return None
        # In a text of its own, nothing tells a rewording from another subject.
        is_text = self.roles == ("text",)
        return compare_all(
            self.turns, other.turns, threshold=threshold, can_be_reworded=not is_text
        )


class RowTexts:
    """Reads rows by number from an open canonical file.

    `offsets` has the start of each row, and the end of the file.
    """

    def __init__(self, file: BinaryIO, offsets: Offsets) -> None:
        self._file = file
        self._offsets = offsets
        self._read = lru_cache(maxsize=8192)(self._row)

    def conversation(self, row: int) -> Conversation:
        """Read a row."""
        start, end = int(self._offsets[row]), int(self._offsets[row + 1])
        self._file.seek(start)
        return split_row(_decode(self._file.read(end - start)))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, row: int) -> RowText:
        return self._read(row)

    def _row(self, row: int) -> RowText:
        conversation = self.conversation(row)
        said = [(at, turn) for at, turn in enumerate(conversation.turns) if turn.role != "system"]
        answer = conversation.last_answer
        last = [place for place, (at, _) in enumerate(said) if at == answer]
        return RowText(
            tuple(turn.role for _, turn in said),
            tuple(parse_text(turn.text) for _, turn in said),
            last[0] if last else len(said),
        )
