"""Comparison of two rows turn by turn: whether they mean the same, or differ in facts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from service.datasets.duplicates.facts import names, oppose, opposed, terms, without_facts
from service.datasets.duplicates.signatures import normalised
from service.datasets.duplicates.spelling import are_same
from service.datasets.duplicates.wording import bare, numbers, wording

# Words, or single characters of scripts without spaces, with the marks of Thai and its neighbors.
_UNITS = re.compile(
    "[\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]"
    "|[\u0e01-\u0eff\u1000-\u103f\u1780-\u17d3][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ecd\u102b-\u103e\u17b4-\u17d3]*"
    "|\\d+|[^\\s\\d\u0e01-\u0eff\u1000-\u103f\u1780-\u17d3\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]+"
)
# A character of a script without spaces is worth about a third of a word.
_IS_CHARACTER = re.compile("[\u0e01-\u0eff\u1000-\u103f\u1780-\u17d3\u3005-\uffff]")
_CHARACTERS_A_WORD = 3
# A shorter text is never reworded: each replaced word changes what it is about.
_SHORT_WORDS = 9
# Differences between which at most this many characters are equal are one: 損坏 and 破损.
_SAME_PLACE = 1
# What differs between the common start and the common end of two texts of one form is a fact of a
# few words, or has half of its words in common.
_LONGEST_FACT, _OF_ONE_FORM = 5, 0.5
# Units beyond which two texts are not aligned: the time grows with the square of the length.
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
    """A text as it is compared.

    `said` is what it says, and `units` the words of that, or its characters in scripts without
    spaces.
    """

    text: str
    said: str
    units: list[str]


class Change(NamedTuple):
    """A place in which two texts differ: the units of each."""

    old: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def facts(self) -> Facts:
        """What the texts say differently here: content words, and opposed function words."""
        if are_same(self.old, self.new):
            return ()
        if oppose(self.old, self.new):
            return (*(f"-{unit}" for unit in self.old), *(f"+{unit}" for unit in self.new))
        old = [f"-{unit}" for unit in self.old if is_content(unit)]
        return (*old, *(f"+{unit}" for unit in self.new if is_content(unit)))


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
    changes = [_changes(one, other) for one, other in zip(some, others, strict=True)]
    is_reworded = _is_reworded(some, changes)
    for at, (one, other) in enumerate(zip(some, others, strict=True)):
        if one.said != other.said:
            facts += (f"{at}{fact}" for fact in _differing_facts(one, other))
            same_numbers &= numbers(one.said) == numbers(other.said)
        if not is_reworded:
            facts += (f"{at}{fact}" for change in changes[at] for fact in change.facts)
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
    """Return the share of common units. Numbers and dates count as equal: they are no form.

    A long text around other content, such as the instruction before the text to classify, does not
    make two texts similar.
    """
    if one.said == other.said:
        return 1.0
    if max(len(one.units), len(other.units)) > _MAX_UNITS:
        return 0.0
    # The libraries are imported once two rows are similar enough to be compared.
    from rapidfuzz.distance import Indel, Postfix, Prefix

    some, others = _form(one.said), _form(other.said)
    whole = float(Indel.normalized_similarity(some, others))
    start = Prefix.similarity(some, others)
    some, others = some[start:], others[start:]
    end = Postfix.similarity(some, others)
    some, others = some[: len(some) - end], others[: len(others) - end]
    if _words(max(some, others, key=len)) <= _LONGEST_FACT:
        return whole
    between = float(Indel.normalized_similarity(some, others))
    return whole if between >= _OF_ONE_FORM else min(whole, between)


@lru_cache(maxsize=4096)
def _form(said: str) -> list[str]:
    return ["0" if unit.isdigit() else unit for unit in _UNITS.findall(without_facts(said))]


def _differing_facts(one: Wording, other: Wording) -> Facts:
    """Return the facts that differ even if the texts are the same in other words."""
    facts: list[str] = []
    first, second = terms(one.said), terms(other.said)
    if first != second:
        facts += (f"-{term}" for term in sorted((first - second).elements()))
        facts += (f"+{term}" for term in sorted((second - first).elements()))
    for mine, theirs in opposed(one.said, other.said):
        facts += (f"-{mine}", f"+{theirs}")
    named, others = names(one.text), names(other.text)
    facts += (f"-{name}" for name in sorted(named - others - set(other.units)))
    facts += (f"+{name}" for name in sorted(others - named - set(one.units)))
    return tuple(facts)


def _words(units: list[str]) -> float:
    characters = sum(1 for unit in units if _IS_CHARACTER.match(unit))
    return len(units) - characters + characters / _CHARACTERS_A_WORD


def _changes(one: Wording, other: Wording) -> list[Change]:
    """Return the places in which two texts differ, without their numbers."""
    if one.said == other.said:
        return []
    from rapidfuzz.distance import Levenshtein

    spans: list[list[int]] = []
    for step in Levenshtein.opcodes(one.units, other.units):
        if step.tag == "equal":
            continue
        between = one.units[spans[-1][1] : step.src_start] if spans else []
        if spans and len(between) <= _SAME_PLACE and all(map(_IS_CHARACTER.match, between)):
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
    """Whether the changes are those of an edit, which leaves the meaning.

    Another fact is a change in one place, or the same change in the question and in the answer. An
    edit replaces several words of each, which have nothing to do with each other.
    """
    changed = [(text, found) for text, found in zip(texts, changes, strict=True) if found]
    fewest = 3 if len(texts) == 1 else 2
    if len(changed) < min(len(texts), 2) or any(
        len(found) < fewest or _words(text.units) < _SHORT_WORDS for text, found in changed
    ):
        return False
    every = [change for _, found in changed for change in found if change.facts]
    if any(_is_code(text, change) for text, found in changed for change in found):
        return False
    swapped = any({Change(one.new, one.old) for one in found} & {*found} for _, found in changed)
    return len(set(every)) == len(every) and not swapped and all(map(_replaces, every))


def _is_code(text: Wording, change: Change) -> bool:
    """Whether a change replaces a part of an identifier of the text, such as `decode_header`."""
    return not {part for name in _identifiers(text.text) for part in name}.isdisjoint(change.old)


@lru_cache(maxsize=4096)
def _identifiers(text: str) -> list[list[str]]:
    return [name.split("_") for name in _IDENTIFIER.findall(text.casefold())]


def _replaces(change: Change) -> bool:
    """Whether a change is not only an insertion or a deletion, which characters do not show."""
    return bool(change.old and change.new) or all(map(_IS_CHARACTER.match, change.old + change.new))


def is_content(unit: str) -> bool:
    """Whether a unit says something by itself, unlike a function word."""
    return not (unit in _FUNCTION_WORDS or unit in _FUNCTION_CHARACTERS or _IS_HIRAGANA.match(unit))
