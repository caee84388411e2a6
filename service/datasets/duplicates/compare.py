"""Comparison of two rows turn by turn: whether they mean the same, or differ in facts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from service.datasets.duplicates.facts import names, opposed, terms, without_facts
from service.datasets.duplicates.signatures import normalised
from service.datasets.duplicates.wording import bare, numbers, wording

# Words, or single characters of scripts without spaces, with the marks of Thai and its neighbors.
_UNITS = re.compile(
    "[\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]"
    "|[\u0e01-\u0eff\u1000-\u103f\u1780-\u17d3][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ecd\u102b-\u103e\u17b4-\u17d3]*"
    "|[^\\s\u0e01-\u0eff\u1000-\u103f\u1780-\u17d3\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]+"
)
# A character of a script without spaces is worth about a third of a word.
_IS_CHARACTER = re.compile("[\u0e01-\u0eff\u1000-\u103f\u1780-\u17d3\u3005-\uffff]")
_CHARACTERS_A_WORD = 3
# In a shorter text, each replaced word changes what it is about.
_SHORT_WORDS = 9
# Units beyond which two texts are not aligned: the time grows with the square of the length.
_MAX_UNITS = 20_000
_FUNCTION_WORD_LIST = """
a an the is are was were be been do does did i you we they he she it my your our their
his her its me us this that these those to of in at for by with from and or but so if
then as can could will would shall should must may might have has had there here what
which who how when where why get got
yang di ke dari untuk dan atau ini itu saya anda kami kita bisa dapat agar supaya pada
dengan apa adalah akan sudah telah
là của và cho với thì mà những các tôi bạn anh chị em mình được có sẽ đã đang này đó rồi
ở tại vào từ gì nào sao
"""
_FUNCTION_WORDS = frozenset(_FUNCTION_WORD_LIST.split())
_FUNCTION_CHARACTERS = frozenset(
    "的了地得把被将將就都也会會能可以要想我你他她它们們这這那是在和与與跟给給对對从從为為個个怎么麼什吗嗎呢就所"
)
_IS_HIRAGANA = re.compile("[\u3041-\u309f]")

Facts = tuple[str, ...]


class Wording(NamedTuple):
    """A text as it is compared: its original, what it says, and the units of that."""

    text: str
    said: str
    units: list[str]


class Likeness(NamedTuple):
    """How alike two texts or rows are.

    `similarity` is the share of words (characters in scripts without spaces) that they have in
    common in the same order, 0 to 1, without punctuation and politeness, and with all numbers
    equal. `facts` are the facts that differ, except numbers; texts that differ from a third one in
    the same facts have the same facts.
    """

    similarity: float
    facts: Facts
    same_numbers: bool

    @property
    def same(self) -> bool:
        """Whether the texts mean the same."""
        return self.same_numbers and not self.facts


@lru_cache(maxsize=4096)
def read(text: str) -> Wording:
    """Return a text as it is compared. A text that is only polite is compared as it is."""
    normal = normalised(text)
    said = wording(normal) or bare(normal) or normal
    return Wording(text, said, _UNITS.findall(said))


def compare(one: Wording, other: Wording, *, threshold: float) -> Likeness | None:
    """Compare two texts. Returns None if their similarity is below the threshold."""
    return compare_all((one,), (other,), threshold=threshold)


def compare_all(
    some: Sequence[Wording], others: Sequence[Wording], *, threshold: float
) -> Likeness | None:
    """Compare two rows turn by turn. Returns None if any turn is not similar."""
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
    for at, (one, other) in enumerate(zip(some, others, strict=True)):
        if one.said != other.said:
            facts += (f"{at}{fact}" for fact in _differing_facts(one, other))
            same_numbers &= numbers(one.said) == numbers(other.said)
    return Likeness(shared / total if total else 1.0, tuple(facts), same_numbers)


def are_similar(some: Sequence[Wording], others: Sequence[Wording], *, threshold: float) -> bool:
    """Whether two rows have as many turns, all similar: `compare_all`, without their facts."""
    return len(some) == len(others) and all(
        _similarity(one, other) >= threshold for one, other in zip(some, others, strict=True)
    )


def similarity(some: Sequence[Wording], others: Sequence[Wording]) -> float:
    """Return the similarity of two rows with as many turns, however low it is."""
    shared, total = 0.0, 0
    for one, other in zip(some, others, strict=True):
        weight = len(one.units) + len(other.units)
        shared += _similarity(one, other) * weight
        total += weight
    return shared / total if total else 1.0


def _similarity(one: Wording, other: Wording) -> float:
    """Return the share of common units. Numbers and dates count as equal: they are no form."""
    if one.said == other.said:
        return 1.0
    if max(len(one.units), len(other.units)) > _MAX_UNITS:
        return 0.0
    # The libraries are imported once two rows are similar enough to be compared.
    from rapidfuzz.distance import Indel

    return float(Indel.normalized_similarity(_form(one.said), _form(other.said)))


@lru_cache(maxsize=4096)
def _form(said: str) -> list[str]:
    return ["0" if unit.isdigit() else unit for unit in _UNITS.findall(without_facts(said))]


def _differing_facts(one: Wording, other: Wording) -> Facts:
    facts: list[str] = []
    first, second = terms(one.said), terms(other.said)
    if first != second:
        facts += (f"-{term}" for term in sorted((first - second).elements()))
        facts += (f"+{term}" for term in sorted((second - first).elements()))
    for mine, theirs in opposed(one.said, other.said):
        facts += (f"-{mine}", f"+{theirs}")
    facts += (f"-{name}" for name in sorted(names(one.text) - set(other.units)))
    facts += (f"+{name}" for name in sorted(names(other.text) - set(one.units)))
    if not facts and min(_words(one.units), _words(other.units)) < _SHORT_WORDS:
        facts += _replaced(one.units, other.units)
    return tuple(facts)


def _words(units: list[str]) -> float:
    characters = sum(1 for unit in units if _IS_CHARACTER.match(unit))
    return len(units) - characters + characters / _CHARACTERS_A_WORD


def _replaced(one: list[str], other: list[str]) -> list[str]:
    """Return the content words that replace each other."""
    from rapidfuzz.distance import Levenshtein

    found: list[str] = []
    for step in Levenshtein.opcodes(one, other):
        if step.tag == "replace":
            old = [u for u in one[step.src_start : step.src_end] if _is_content(u)]
            new = [u for u in other[step.dest_start : step.dest_end] if _is_content(u)]
            if old and new:
                found += (f"-{unit}" for unit in old)
                found += (f"+{unit}" for unit in new)
    return found


def _is_content(unit: str) -> bool:
    return not (unit in _FUNCTION_WORDS or unit in _FUNCTION_CHARACTERS or _IS_HIRAGANA.match(unit))
