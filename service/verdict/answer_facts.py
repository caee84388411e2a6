"""Estimates whether answers are facts to look up, or rather form, voice, and skill.

A fact is a number, code, or name in the answer that is neither in the question nor computed from
it, and that few other answers contain. An answer is a fact if facts are a large part of what it
adds to the question. A greeting, a numbered list, or a figure in passing do not make one.

Names are found by their capital letter, and in Japanese by a dictionary. Names in German, whose
nouns all have one, count only as pairs, and names in other scripts are not found, nor are numbers
written as words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final, NamedTuple

from service.datasets.personal_data.names.japanese import may_hold_names, proper_nouns
from service.datasets.text.languages import detect
from service.datasets.text.segments import units, worth
from service.grading.default_graders import shape_of
from service.grading.examples import Example, spread
from service.verdict.thresholds import FACT_DENSITY, ONLY_FACT_DENSITY

MAX_CHARS: Final = 4_000
"""Number of characters of a question or an answer that are read."""

_MAX_EXAMPLES: Final = 5_000  # enough to learn the form of the answers
_FORM_SHARE: Final = 0.3  # a word that three in ten answers contain belongs to the form
_LEAST_FORM_ROWS: Final = 10
_BARE_WORDS: Final = 4.0  # an answer of up to four words may be a name by itself
_MAX_OPERANDS: Final = 8
_SHORT_UNITS: Final = 12  # in a longer answer, a single digit is in passing

_NUMBER = re.compile(r"\d+(?:[.,:/'\-]\d+)*")
_GROUPING = re.compile(r"(?<=\d)[.,'](?=\d{3}(?!\d))")
_FRACTION_OF_ZEROS = re.compile(r"[.,]0+\Z")
_ENUMERATION = re.compile(r"(?m)^[ \t]*\d{1,2}[.):、]\s")
# Letters and digits, such as B-1042 or X200, but no number with a unit or an ordinal (5kg, 2nd).
_CODE = re.compile(
    r"(?<!\w)(?!\d+[A-Za-z]{1,4}(?!\w))(?=[\w-]*[A-Za-z])(?=[\w-]*\d)"
    r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*(?!\w)",
    re.ASCII,
)
# A word in a script with capital letters.
_LETTER = r"[A-Za-z\u00c0-\u024f\u0300-\u036f\u0370-\u052f\u1e00-\u1fff]"
_WORD = re.compile(rf"(?<!\d){_LETTER}+(?:['’\-]{_LETTER}+)*(?!\d)")
_NEW_SENTENCE = re.compile(r"(?:\A|[.!?:;…\"“„«»”(\[\n•*#–—-])\s*\Z")


class RowFacts(NamedTuple):
    """The facts of one answer: how many, and their share of the words that the answer adds."""

    line: int
    facts: frozenset[str]
    density: float

    @property
    def is_fact(self) -> bool:
        """Whether the answer is mainly a fact to look up."""
        return bool(self.facts) and self.density >= FACT_DENSITY

    @property
    def is_only_fact(self) -> bool:
        """Whether the answer is a fact and says little else."""
        return bool(self.facts) and self.density >= ONLY_FACT_DENSITY


class FactFinder:
    """Finds facts in answers of one data set.

    `form` holds the words (or characters) that many answers contain.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        """`examples` are those of the data set, which show the form of its answers."""
        examples = spread(examples, _MAX_EXAMPLES)
        answers = [example.answer[:MAX_CHARS] for example in examples]
        self._has_facts = shape_of(examples).kind in ("text", "json")
        self.form = _frequent([set(units(answer)) for answer in answers])
        self._form_numbers = _frequent([numbers(_plain(answer)) for answer in answers])
        self._common = _uncapitalized(examples)
        self._bare = _are_names(answers)

    def facts(self, example: Example) -> RowFacts:
        """Return the facts of an example's answer."""
        if not self._has_facts or not example.answer or example.tool_calls:
            return RowFacts(example.line, frozenset(), 0.0)
        given = _plain("\n".join(message.get("content") or "" for message in example.prompt))
        answer = _plain(example.answer)
        known = set(units(given))
        added = {unit for unit in units(answer) if unit not in known and unit not in self.form}
        facts = {fact for fact in self._candidates(answer, given) if self._is_new(fact, known)}
        if not facts and self._bare and added and _is_name(answer, known):
            facts = {" ".join(units(answer))}
        size = sum(max(1.0, sum(map(worth, units(fact)))) for fact in facts)
        total = max(sum(map(worth, added)), size)
        return RowFacts(example.line, frozenset(facts), size / total if total else 0.0)

    def _candidates(self, answer: str, given: str) -> Iterator[str]:
        yield from _CODE.findall(answer)
        answer = _CODE.sub(" ", answer)
        known = numbers(given)
        is_short = len(units(answer)) <= _SHORT_UNITS
        written = numbers(answer)
        for number in written - known - _computed(known) - self._form_numbers:
            if is_short or len(number) > 1:
                yield number
        yield from self._names(answer)

    def _is_new(self, fact: str, known: set[str]) -> bool:
        parts = units(fact)
        return not all(part in known for part in parts) and not self.form.issuperset(parts)

    def _names(self, answer: str) -> Iterator[str]:
        words = list(_WORD.finditer(answer))
        capitals = sum(word.group()[0].isupper() for word in words)
        # A title, or a text in capital letters, has no names to recognize.
        is_title = len(words) > _BARE_WORDS and capitals > 0.6 * len(words)
        language = detect(answer).code if capitals or may_hold_names(answer) else ""
        was_name = False
        for word in words if capitals and not is_title else ():
            before = answer[max(word.start() - 4, 0) : word.start()]
            is_name = (
                word.group()[0].isupper()
                and word.group().casefold() not in self._common
                and _NEW_SENTENCE.search(before) is None
            )
            if is_name and (language != "de" or (was_name and before[-1:] == " ")):
                yield word.group()
            was_name = is_name
        if language == "ja":
            yield from proper_nouns(answer)


def contains_facts(answer: str, facts: RowFacts) -> bool:
    """Return whether an answer contains all facts of a row."""
    answer = _plain(answer)
    said, written = set(units(answer)), numbers(answer)
    return all(fact in written or said.issuperset(units(fact)) for fact in facts.facts)


def numbers(text: str) -> set[str]:
    """Return the numbers, dates, and times of a text, without the numbering of a list."""
    found = _NUMBER.findall(_ENUMERATION.sub(" ", text))
    return {canonical_number(number) for number in found}


def canonical_number(number: str) -> str:
    """Return a number without grouping, zeros at its start, and a fraction of zeros."""
    plain = _FRACTION_OF_ZEROS.sub("", _GROUPING.sub("", number))
    return re.sub(r"(?<![\d])0+(?=\d)", "", plain)


def _computed(operands: set[str]) -> set[str]:
    """Return the numbers that can be computed from those of a question."""
    values = [float(number) for number in sorted(operands) if re.fullmatch(r"\d{1,12}", number)]
    results: set[float] = {sum(values)}
    for a, b in combinations(values[:_MAX_OPERANDS], 2):
        results |= {a + b, a - b, b - a, a * b}
        results |= {a / b} if b else set()
        results |= {b / a} if a else set()
    return {canonical_number(f"{abs(value):.10g}") for value in results}


def _plain(text: str) -> str:
    """Return the start of a text in NFKC, with ASCII digits."""
    text = unicodedata.normalize("NFKC", text[:MAX_CHARS])
    if text.isascii():
        return text
    digits = ((char, unicodedata.decimal(char, None)) for char in text)
    return "".join(char if value is None else str(value) for char, value in digits)


def _frequent(found: Sequence[set[str]]) -> frozenset[str]:
    """Return the entries that many answers contain, such as the words of a greeting."""
    if len(found) < _LEAST_FORM_ROWS:
        return frozenset()
    counts = Counter(entry for entries in found for entry in entries)
    return frozenset(entry for entry, count in counts.items() if count >= _FORM_SHARE * len(found))


def _uncapitalized(examples: Sequence[Example]) -> frozenset[str]:
    """Return the words that the data set also writes in lower case, which are no names."""
    return frozenset(
        word
        for example in examples
        for text in (example.question, example.answer)
        for word in _WORD.findall(text[:MAX_CHARS])
        if word[0].islower()
    )


def _are_names(answers: Sequence[str]) -> bool:
    """Return whether most answers are a few words, and nearly all of those are different."""
    if len(answers) < _LEAST_FORM_ROWS:
        return False
    bare = [answer for answer in answers if 0 < sum(map(worth, units(answer))) <= _BARE_WORDS]
    return 2 * len(bare) > len(answers) and len(set(bare)) >= 0.8 * len(bare)


def _is_name(answer: str, known: set[str]) -> bool:
    """Return whether an answer of a few words looks like a name, and not like a translation."""
    parts = units(answer)
    if sum(map(worth, parts)) > _BARE_WORDS:
        return False
    # A question in one kind of script and an answer in another are a translation.
    if known and {worth(part) for part in parts}.isdisjoint({worth(unit) for unit in known}):
        return False
    return all(word[0].isupper() for word in _WORD.findall(answer))
