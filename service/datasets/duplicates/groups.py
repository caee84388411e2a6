"""Groups identical, similar, and contradicting rows.

Rows are numbered from 0. A group is an array of at least two rows in ascending order. Candidates
are found by signatures, then compared text by text. `agree` decides whether two answers mean the
same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from service.datasets.duplicates.compare import (
    NEGATIONS,
    Comparison,
    Facts,
    RowText,
    RowTexts,
    Wording,
    compare,
    dates_and_numbers,
    decisive_terms,
    is_content,
    names,
    opposed_words,
    opposites,
    word_count,
)
from service.datasets.duplicates.minhash import MIX, PERMUTATIONS, SignatureStack, normalize
from service.datasets.duplicates.wording import normalize_spelling, numbers, wording
from service.datasets.parallel import map_ordered

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Rows = np.ndarray[Any, np.dtype[np.int64]]
Lines = np.ndarray[Any, np.dtype[np.uint32]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

# 32 bands of 4: 98.8% of the pairs that share 60% of their character runs match in at least
# one band, 87% of those that share 50%, and 1 in 20 of those that share 20%. Comparing the full
# signatures rejects the latter.
_BANDS, _BAND_SIZE = 32, 4
_BANDS_AT_ONCE = 4
_PAIRS_AT_ONCE = 20_000
_ROWS_WORTH_A_FORK = 20_000


def equal_groups(hashes: Hashes) -> list[Rows]:
    """Return groups of rows with the same hash, sorted by their first rows."""
    order = np.argsort(hashes, kind="stable")
    groups = [order[start:end] for start, end in _runs(hashes[order])]
    return sorted(groups, key=lambda group: int(group[0]))


def _runs(ordered: Hashes) -> Iterator[tuple[int, int]]:
    """Yield the (start, end) of each run of at least two equal neighbors."""
    if len(ordered) < 2:
        return
    edges = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    starts = np.concatenate(([0], edges))
    ends = np.concatenate((edges, [len(ordered)]))
    for index in np.flatnonzero(ends - starts > 1):
        yield int(starts[index]), int(ends[index])


def near_groups(stack: SignatureStack, rows: Rows, threshold: float) -> list[Rows]:
    """Return groups of similar rows, directly or through other rows, sorted by first row.

    `threshold` is the share of character runs that two texts have in common, estimated to
    about ±0.04. Reduce identical rows to one beforehand.
    """
    parents = np.arange(len(rows))
    for first, second in pairs_of(_similar_places(stack, rows, threshold)):
        join(parents, first, second)
    return connected(parents, rows)


def near_pairs(stack: SignatureStack, rows: Rows, threshold: float, *, processes: int = 1) -> Rows:
    """Return pairs of similar rows, the most similar first. Not every pair of a group is listed."""
    return np.asarray(rows[_similar_places(stack, rows, threshold, processes=processes)])


def pairs_of(pairs: Rows) -> Iterator[tuple[int, int]]:
    """Yield the pairs of an array. A list of millions of them would take much memory."""
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        yield from map(tuple, pairs[start : start + _PAIRS_AT_ONCE].tolist())


def _similar_places(
    stack: SignatureStack, rows: Rows, threshold: float, *, processes: int = 1
) -> Rows:
    """Return pairs of positions in `rows` of similar rows, the most similar first."""
    bands = [range(at, at + _BANDS_AT_ONCE) for at in range(0, _BANDS, _BANDS_AT_ONCE)]
    few = len(rows) < _ROWS_WORTH_A_FORK
    found = map_ordered(partial(_candidates, stack, rows), bands, processes=1 if few else processes)
    pairs = _unpack(_distinct(np.concatenate(list(found))))
    shared = np.empty(len(pairs), dtype=np.uint8)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        one, other = (stack.take(rows[places]) for places in pairs[part].T)
        # No more than 255 values can be shared. Summing bytes takes half the time of a count.
        shared[part] = np.add.reduce((one == other).view(np.uint8), axis=1, dtype=np.uint8)
    order = np.argsort(PERMUTATIONS - shared, kind="stable")
    return pairs[order[: np.count_nonzero(shared >= threshold * PERMUTATIONS)]]


def _candidates(stack: SignatureStack, rows: Rows, bands: range) -> Hashes:
    """Return the packed pairs of positions in `rows` that are equal in one of the bands, sorted.

    Similar rows are equal in most bands, so this is a fraction of the pairs of all bands.
    """
    found: list[Hashes] = []
    for band in bands:
        keys = _band_keys(stack, rows, band)
        order = np.argsort(keys, kind="stable")
        found.append(_pack(_pairs(keys[order], order)))
    return _distinct(np.concatenate(found))


def _distinct(packed: Hashes) -> Hashes:
    """Return the different values, sorted, in a third of the time of `np.unique`."""
    packed.sort()
    return packed[np.flatnonzero(np.diff(packed, prepend=~packed[:1]))]


_HALF = np.uint64(32)


def _pack(pairs: Rows) -> Hashes:
    first, second = np.sort(pairs, axis=1).astype(np.uint64).T
    return np.asarray(first << _HALF | second)


def _unpack(packed: Hashes) -> Rows:
    halves = (packed >> _HALF, packed & np.uint64(0xFFFFFFFF))
    return np.column_stack(halves).astype(np.int64)


def connected(parents: Rows, rows: Rows) -> list[Rows]:
    """Return the groups of rows that are joined, sorted by first row."""
    roots = np.array([root(parents, row) for row in range(len(parents))], dtype=np.uint64)
    return [rows[group] for group in equal_groups(roots)]


def _band_keys(stack: SignatureStack, rows: Rows, band: int) -> Hashes:
    part = stack.columns(band * _BAND_SIZE, (band + 1) * _BAND_SIZE)[rows].astype(np.uint64)
    keys = np.zeros(len(part), dtype=np.uint64)
    for column in range(_BAND_SIZE):
        keys = (keys ^ part[:, column]) * MIX
        keys ^= keys >> np.uint64(31)
    return keys


def _pairs(ordered: Hashes, order: Rows) -> Rows:
    """Pair each row of a bucket with the previous row and with the bucket's first row.

    A large bucket has too many pairs to compare them all, and these are enough to connect a
    genuine group.
    """
    if len(ordered) < 2:
        return np.empty((0, 2), dtype=np.int64)
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    begins = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    firsts = order[np.maximum.accumulate(np.where(begins, np.arange(len(ordered)), 0))]
    neighbors = np.column_stack((order[same], order[same + 1]))
    to_first = np.column_stack((firsts[same + 1], order[same + 1]))
    return np.concatenate((neighbors, to_first[firsts[same + 1] != order[same]]))


def root(parents: Rows, row: int) -> int:
    """Return the first row of a row's set."""
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = int(parents[row])
    return row


def join(parents: Rows, one: int, other: int) -> None:
    """Join two sets. The smaller root wins, so that groups do not depend on the order."""
    first, second = root(parents, one), root(parents, other)
    parents[max(first, second)] = min(first, second)


def find_contradictions(questions: Hashes, verdicts: Hashes) -> list[Rows]:
    """Return groups of rows that have the same question but different verdicts."""
    return [rows for rows in equal_groups(questions) if len(np.unique(verdicts[rows])) > 1]


_YES = """
yes yeah yep true correct indeed ya iya vâng có はい ええ 可以 是 是的 对 有 네 예 ใช่ oui ja sí si
sim oo हाँ हां
"""
_NO = """
no not never none nothing false incorrect wrong tidak bukan không nein nicht non não hindi नहीं
いいえ ません ない 不 没 沒 无 無 없 않 못 아니 ไม่
"""
_NEGATIVE = frozenset(_NO.split())
_YES_OR_NO = _NEGATIVE | frozenset(_YES.split())
_WORD = re.compile(r"\w+")
# These words introduce another part of an answer, which the shorter answer lacks.
_LIMIT_WORDS = "and or but only plus also until dan atau tapi hanya và hoặc nhưng chỉ"
_LIMITS = frozenset(_LIMIT_WORDS.split())
# The order of so few words does not matter if one is a number: "3 May" and "May 3".
_MAX_UNORDERED_WORDS = 3


def agree(one: Wording, other: Wording, question: Wording, *, threshold: float) -> bool:
    """Return whether two answers mean the same, or one only elaborates on the other.

    "Paris." and "The capital of France is Paris." agree if the question has the other words. So do
    "Two years." and "Two years from the day of purchase."
    """
    found = compare(one, other, threshold=threshold)
    if found is not None and found.same:
        return True
    short, long = sorted((one, other), key=lambda text: len(text.units))
    if _negates(short) != _negates(long):
        return False
    stated, longer = _stated(short), _stated(long)
    if not stated and {short.said, *_WORD.findall(short.text.casefold())}.isdisjoint(_YES_OR_NO):
        return False
    if (
        sorted(stated) == sorted(longer)
        and len(stated) <= _MAX_UNORDERED_WORDS
        and numbers(short.said)
    ):
        return True
    unasked = [unit for unit in longer if unit in stated or unit not in question.units]
    is_part = any(
        units[at : at + len(stated)] == stated
        for units in (longer, unasked)
        for at in range(len(units) - len(stated) + 1)
    )
    return is_part and not _adds_facts(short, long, question)


def disagree(one: Wording, other: Wording, question: Wording, *, threshold: float) -> bool:
    """Return whether two answers mean something different, although both may be right."""
    return not agree(one, other, question, threshold=threshold)


# "am" is far more often a verb than a time.
_NO_QUANTITIES = NEGATIONS | _NEGATIVE | {"am"}
_FREE = re.compile(
    r"\b(?:free|gratis|miễn phí|kostenlos)\b|無料|免费|免費|包邮|包郵|무료|ฟรี|निःशुल्क|मुफ़्त|ឥតគិតថ្លៃ"
)
_SIGNED = re.compile(r"[\u2212+]?\d+")
_SMALL_UNITS = {"years": 12, "weeks": 7, "hours": 60}  # in months, days and minutes
_TIME = re.compile(
    r"(?P<number>\d+) ?(?:"
    r"(?P<years>years?|tahun|năm|jahre?n?|ans?|años?|anos?|taon|साल|वर्ष|年|년|ปี)"
    r"|(?P<weeks>weeks?|minggu|tuần|wochen?|semaines?|semanas?|linggo|सप्ताह|週間?|周|星期|주|สัปดาห์)"
    r"|(?P<hours>hours?|jam|giờ|stunden?|heures?|horas?|oras|घंटे|時間|小时|小時|시간|ชั่วโมง))(?![a-zà-ỹ])"
)
# These ask for one value, such as a place. Answers to other questions can differ and both be right.
_ASKS_VALUE = re.compile(
    r"\b(?:who|whose|where|when|which|how (?:many|much|long|old|far|often|tall|big|heavy)"
    r"|what (?:time|day|date|year|color|colour|size)|prices?|costs?|(what is the)"
    r"|classify|categori[sz]e|klasifikasi(?:kan)?|phân loại|klassifizier\w*|clas+ifi(?:ca|e)\w*"
    r"|wann|w(?:o|er) (?:ist|sind|kann|hat|find\w*|gibt|liegt|bekomm\w*)|welche[rsnm]?"
    r"|wie (?:viele?|lange|oft|hoch|weit|groß|teuer)|quand|où|quelle?s?"
    r"|combien|cuándo|dónde|quién|cuánt[oa]s?|cuál(?:es)?|quando|onde|quem|quant[oa]s?|kailan"
    r"|saan|sino|magkano|ilan"
    r"|harga|giá|siapa|di ?mana|ke ?mana|kapan|berapa|ai là|ở đâu|khi nào|bao nhiêu|bao lâu|mấy)\b"
    "|分類|分类|분류|จำแนก|จัดประเภท|वर्गीकृत"
    "|誰|だれ|どこ|いつ|どの|どれ|いくら|いくつ|くらい|料金|値段|送料|何[時日年人個円回歳月曜]|谁|誰|哪|几|幾|多少|多久|什么时候|什麼時候|价格|價格|运费|運費"
    "|누구|어디|언제|얼마|몇|가격|요금|ใคร|ที่ไหน|เมื่อไ|เท่าไ|กี่|ราคา|कौन|कहाँ|कब|कितन|នរណា|ណា|ប៉ុន្មាន"
)
# An answer that is this many units longer, and has the quantities of the other one, says the same.
_MORE_UNITS = 6
_MAX_VALUE_WORDS, _MAX_UNITS, _MAX_UNITS_OF_NAME = 3, 6, 2
# Small talk with the assistant, which may say many things about itself.
_TO_ASSISTANT = re.compile(
    r"\b(?:you|your|kamu|anda|bạn)\b|[你您妳]|あなた|君|너|당신|คุณ|तुम|आप|អ្នក"
)
# Longer answers can have different numbers and dates and both be right.
_MAX_FACT_WORDS = 12
# The space after a Thai clause ends it, like a comma.
_FIRST_CLAUSE = re.compile(r"(?:[^,.;:!?\n，。、；：！？। ]|(?<![\u0e00-\u0e7f]) )+")


def contradict(one: Wording, other: Wording, question: Wording, *, threshold: float) -> bool:
    """Return whether two answers to a question cannot both be right.

    Answers in other words, or about another aspect, do not contradict each other. Contradicting
    answers say yes and no, differ in a number, date or opposite, are the same sentence with another
    fact, are data such as JSON, or are short values of which the question wants one.
    """
    if agree(one, other, question, threshold=threshold):
        return False
    quantities = [_quantities(text) for text in (one, other)]
    if all(quantities) and (_elaborates(one, other) or _elaborates(other, one)):
        return False
    if all(text.text.lstrip()[:1] in ("{", "[") for text in (one, other)):
        return True
    if _opposed_clauses(one, other, question) or _is_one_fact(
        compare(one, other, threshold=threshold)
    ):
        return True
    added = max(word_count(_value(text, question)) for text in (one, other))
    if added > _MAX_FACT_WORDS:
        return False
    if opposed_words(one.said, other.said):
        return True
    longest = max(len(one.units), len(other.units))
    asked = _ASKS_VALUE.search(question.said)
    if all(quantities):
        is_value = asked is not None or longest <= _MAX_UNITS_OF_NAME
        less, more = sorted(quantities, key=Counter.total)
        longer = abs(len(one.units) - len(other.units)) >= _MORE_UNITS
        return is_value and more != less and not (longer and less <= more)
    if longest == 1 and bool(quantities[0]) != bool(quantities[1]):
        return False  # "7" and "seven", in any language
    if not added:
        return longest == 1
    if asked is None or _TO_ASSISTANT.search(question.said):
        return False
    return added <= _MAX_VALUE_WORDS and longest <= (_MAX_UNITS_OF_NAME if asked[1] else _MAX_UNITS)


def _is_one_fact(found: Comparison | None) -> bool:
    """Return whether two similar answers differ in numbers, or in one replaced word."""
    if found is None:
        return False
    return not found.same_numbers or sorted(fact[1] for fact in found.facts) == ["+", "-"]


def _elaborates(short: Wording, long: Wording) -> bool:
    """Return whether an answer begins with another one, which is a clause of it."""
    return len(short.units) < len(long.units) and _clause(long) == short.said


def _quantities(text: Wording) -> Counter[str]:
    """Return the numbers of an answer with their signs, and its dates and places.

    Times have the same unit: 2 years are 24 months.
    """
    said = _TIME.sub(_in_small_units, text.said)
    found = Counter(_SIGNED.findall(said) or ("0" for _ in _FREE.findall(said)))
    found.update(dates_and_numbers(said))
    return Counter({term: count for term, count in found.items() if term not in _NO_QUANTITIES})


def _in_small_units(found: re.Match[str]) -> str:
    """Return a time in months, days or minutes."""
    return str(int(found["number"]) * _SMALL_UNITS[found.lastgroup or ""])


def _value(text: Wording, question: Wording) -> list[str]:
    """Return the content words that an answer adds to its question."""
    return [unit for unit in text.units if is_content(unit) and unit not in question.units]


def _opposed_clauses(one: Wording, other: Wording, question: Wording) -> bool:
    """Return whether answers begin with yes and no, or with a statement and its negation."""
    yes, no = sorted((_clause(one), _clause(other)), key=_is_negative)
    if _is_negative(yes) or not _is_negative(no):
        return False
    denied = _without_negation(no)
    if denied:
        return denied == yes
    return yes in _YES_OR_NO or (bool(yes) and yes in question.said)


def _clause(text: Wording) -> str:
    found = _FIRST_CLAUSE.search(normalize(text.text))
    clause = found.group().strip() if found else ""
    return wording(clause) or clause


def _is_negative(clause: str) -> bool:
    return not _NEGATIVE.isdisjoint(decisive_terms(clause))


def _without_negation(clause: str) -> str:
    for term in _NEGATIVE & decisive_terms(clause).keys():
        clause = clause.replace(term, "")
    return clause.strip()


def _stated(text: Wording) -> list[str]:
    """Return the content words of an answer, except yes and no."""
    return [
        normalize_spelling(unit)
        for unit in text.units
        if is_content(unit) and unit not in _YES_OR_NO
    ]


def _negates(text: Wording) -> bool:
    return not _NEGATIVE.isdisjoint(decisive_terms(text.said))


def _adds_facts(short: Wording, long: Wording, question: Wording) -> bool:
    """Return whether the longer of two answers may add a fact that makes it another answer."""
    known = {*short.units, *question.units}
    added = set(long.units) - known
    return bool(
        any(unit.isdigit() or not unit[0].isalnum() for unit in added)
        or added & (_LIMITS | names(long.text))
        or decisive_terms(long.said).keys()
        - decisive_terms(short.said).keys()
        - decisive_terms(question.said).keys()
        - _NEGATIVE
        or any(map(is_content, opposites(long.said) - opposites(short.said) - known))
    )


# Minimum estimated share of common character runs for two rows to be compared. If 3 of 25 words
# differ, about 60% are common; if two characters differ twice in 30, 55%.
CANDIDATES = 0.45
# A comparison takes about 0.1 ms. The most similar pairs are compared first, up to a maximum, or
# until fewer than 1 in 10 are similar.
_MAX_COMPARISONS = 30_000
_WINDOW, _MIN_SIMILAR = 1_000, 100
_MAX_FAILURES_PER_ROW = 3
_MAX_STARS_PER_GROUP = 100

Star = list[tuple[int, Facts]]
"""Rows with the form of the first row, and the facts in which each differs from it."""


class Classes(NamedTuple):
    """Groups of copies by class, and pairs with the same question but contradicting answers.

    A class has rows of the same form, grouped by their facts: rows of a group mean the same.
    `similarities` has those of the compared pairs, each of a row and the first row of its class.
    """

    copies: list[list[Rows]]
    opposed: list[Rows]
    similarities: dict[tuple[int, int], float]


def find_classes(
    features: Any,
    rows: Rows,
    stack: SignatureStack,
    texts: RowTexts,
    threshold: float,
    *,
    processes: int = 1,
) -> Classes:
    """Find the classes of the given rows. Each class has at least two rows."""
    of_form = _by_form(features, rows)
    forms = np.array(sorted(of_form), dtype=np.int64)
    pairs = near_pairs(stack, forms, CANDIDATES, processes=processes)
    groups, opposed = _verified(forms, pairs, features["turns"].tolist(), texts, threshold)
    stars, similarities = _stars(groups, texts, threshold)
    in_star = {row for star in stars for row, _ in star}
    alone: list[Star] = [
        [(row, ())] for row, group in of_form.items() if row not in in_star and len(group) > 1
    ]
    copies = [_copies(star, of_form, features) for star in (*stars, *alone)]
    return Classes(copies, opposed, similarities)


def _by_form(features: Any, rows: Rows) -> dict[int, Rows]:
    """Return the rows of each form, by the first of them."""
    if not len(rows):
        return {}
    _, places, counts = np.unique(features["form"][rows], return_inverse=True, return_counts=True)
    members = np.split(rows[np.argsort(places, kind="stable")], np.cumsum(counts)[:-1])
    return {int(group[0]): group for group in members}


def _verified(
    forms: Rows, pairs: Rows, turns: list[int], texts: RowTexts, threshold: float
) -> tuple[list[Rows], list[Rows]]:
    """Return groups of forms connected by similar pairs, and pairs that contradict each other.

    `turns` has the number of turns of each row. Rows with different numbers need not be read.
    """
    parents = np.arange(len(forms))
    place = {int(row): at for at, row in enumerate(forms)}
    failures: dict[int, int] = {}
    opposed: list[Rows] = []
    compared = similar = 0
    for one, other in pairs_of(pairs):
        first, second = place[one], place[other]
        is_hopeless = max(failures.get(one, 0), failures.get(other, 0)) >= _MAX_FAILURES_PER_ROW
        if is_hopeless or root(parents, first) == root(parents, second):
            continue
        if compared % _WINDOW == 0:
            if compared == _MAX_COMPARISONS or (compared and similar < _MIN_SIMILAR):
                break
            similar = 0
        compared += 1
        same_turns = turns[one] == turns[other]
        if same_turns and texts[one].is_like(texts[other], threshold=threshold):
            similar += 1
            join(parents, first, second)
            continue
        for row in (one, other):
            failures[row] = failures.get(row, 0) + 1
        if same_turns and _oppose(texts[one], texts[other], threshold):
            opposed.append(np.array([one, other], dtype=np.int64))
    return connected(parents, forms), opposed


def _oppose(one: RowText, other: RowText, threshold: float) -> bool:
    """Return whether two rows reword the same question and give contradicting answers."""
    if one.roles != other.roles or not one.asks_one_thing:
        return False
    found = one.before_answer.compare(other.before_answer, threshold=threshold)
    if found is None or not found.same or found.similarity == 1:
        return False
    return disagree(one.answer, other.answer, one.question, threshold=threshold)


def _stars(
    groups: list[Rows], texts: RowTexts, threshold: float
) -> tuple[list[Star], dict[tuple[int, int], float]]:
    """Split groups into stars, and return the similarities of their rows to the first.

    The ends of a chain of similar rows can differ from each other. In a star, each row is similar
    to the first row. Rows that remain after `_MAX_STARS_PER_GROUP` stars are omitted.
    """
    stars: list[Star] = []
    similarities: dict[tuple[int, int], float] = {}
    room = _MAX_COMPARISONS
    for group in groups:
        left = group.tolist()
        for _ in range(_MAX_STARS_PER_GROUP):
            if len(left) < 2 or room <= 0:
                break
            first, others = left[0], left[1:]
            room -= len(others)
            found = {row: texts[first].compare(texts[row], threshold=threshold) for row in others}
            alike = {row: one for row, one in found.items() if one is not None}
            if alike:
                stars.append([(first, ()), *((row, one.facts) for row, one in alike.items())])
            similarities |= {(first, row): one.similarity for row, one in alike.items()}
            left = [row for row in others if row not in alike]
    return stars, similarities


def _copies(star: Star, of_form: dict[int, Rows], features: Any) -> list[Rows]:
    groups: dict[tuple[Facts, int], list[int]] = {}
    for form, facts in star:
        rows = of_form[form]
        for row, figures in zip(rows.tolist(), features["figures"][rows].tolist(), strict=True):
            groups.setdefault((facts, figures), []).append(row)
    copies = (np.array(sorted(group), dtype=np.int64) for group in groups.values())
    return sorted(copies, key=lambda group: int(group[0]))
