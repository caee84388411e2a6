"""Score of word taggers on names that stand by themselves: found, missed, false, time and memory.

    python -m tests.datasets.personal_cases.taggers NAME [--list]

The packages are no dependencies: install the one of NAME into an environment of your own. `rules`
is the service's own detection.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import pairwise
from typing import Any, NamedTuple

from service.datasets.personal_data.detect import Found, find_personal_data
from tests.datasets.personal_cases.cases import Case, all_cases
from tests.datasets.personal_cases.score import NAMES, matches

Find = Callable[[str], Iterator[tuple[int, int]]]


class Tagger(NamedTuple):
    """A tagger: the start of the codes of its language, and what loads it."""

    language: str
    load: Callable[[], Find]


def _kiwi() -> Find:
    """Kiwi marks proper nouns, not persons: one of three syllables that starts as families do."""
    kiwi = import_module("kiwipiepy").Kiwi()
    families = set(import_module("service.datasets.personal_data.bare_names.korean").FAMILIES)

    def find(text: str) -> Iterator[tuple[int, int]]:
        for token in kiwi.tokenize(text):
            if token.tag == "NNP" and len(token.form) == 3 and token.form[0] in families:
                yield token.start, token.start + token.len

    return find


def _mecab_ko() -> Find:
    """The dictionary marks names of persons."""
    mecab = import_module("mecab").MeCab()

    def find(text: str) -> Iterator[tuple[int, int]]:
        run: list[tuple[int, int]] = []
        for morpheme in mecab.parse(text):
            span = morpheme.span
            if morpheme.feature.semantic == "인명":
                start, end = span.start, span.end
                run = [*run, (start, end)] if run and run[-1][1] == start else [(start, end)]
                continue
            yield from _whole(run)
            run = []
        yield from _whole(run)

    return find


def _whole(run: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    if run and run[-1][1] - run[0][0] > 1:
        yield run[0][0], run[-1][1]


def _thai_names() -> Find:
    """The lists of given names and family names that PyThaiNLP contains."""
    corpus = import_module("pythainlp.corpus.common")
    given = corpus.thai_male_names() | corpus.thai_female_names()
    families = corpus.thai_family_names()

    def find(text: str) -> Iterator[tuple[int, int]]:
        words = [*_spaced(text)]
        for (first, start, _), (second, _, end) in pairwise(words):
            if first in given and second in families:
                yield start, end

    return find


def _spaced(text: str) -> Iterator[tuple[str, int, int]]:
    at = 0
    for word in text.split(" "):
        yield word, at, at + len(word)
        at += len(word) + 1


def _jieba() -> Find:
    return _words(import_module("jieba.posseg").cut, lambda word: (word.word, word.flag))


def _rjieba() -> Find:
    return _words(import_module("rjieba").tag, lambda word: word)


def _snownlp() -> Find:
    make = import_module("snownlp").SnowNLP
    return _words(lambda text: make(text).tags, lambda word: word)


def _jiagu() -> Find:
    jiagu = import_module("jiagu")
    return _words(
        lambda text: zip(words := jiagu.seg(text), jiagu.pos(words), strict=True), lambda word: word
    )


def _words(cut: Callable[[str], Any], parts: Callable[[Any], tuple[str, str]]) -> Find:
    def find(text: str) -> Iterator[tuple[int, int]]:
        at = 0
        for one in cut(text):
            word, tag = parts(one)
            start = text.find(word, at)
            at = start + len(word)
            if tag.startswith("nr") and len(word) > 1:
                yield start, at

    return find


def _pyvi() -> Find:
    """Pyvi marks proper nouns, not persons: one of several words that starts as families do."""
    tagger, words = import_module("pyvi.ViPosTagger"), import_module("pyvi.ViTokenizer")
    families = import_module("service.datasets.personal_data.bare_names.lists").names(
        "vietnamese", "family"
    )

    def find(text: str) -> Iterator[tuple[int, int]]:
        at = 0
        pairs = zip(*tagger.postagging(words.tokenize(text)), strict=True)
        for word, tag in pairs:
            written = word.replace("_", " ")
            start = text.find(written, at)
            if start < 0:
                continue
            at = start + len(written)
            if tag == "Np" and " " in written and written.split(" ")[0] in families:
                yield start, at

    return find


def _underthesea() -> Find:
    """The model of named entities."""
    ner = import_module("underthesea").ner

    def find(text: str) -> Iterator[tuple[int, int]]:
        at, run = 0, (0, 0)
        for word, _, _, tag in ner(text):
            start = text.find(word, at)
            at = start + len(word)
            if tag.endswith("-PER"):
                run = (run[0] if tag.startswith("I") and run[1] else start, at)
            elif run[1]:
                yield run
                run = (0, 0)
        if run[1]:
            yield run

    return find


def _rules(language: str) -> Callable[[], Find]:
    def find(text: str) -> Iterator[tuple[int, int]]:
        for one in find_personal_data(text, language):
            if one.kind == "person_name":
                yield one.start, one.end

    return lambda: find


TAGGERS: dict[str, Tagger] = {
    "kiwipiepy": Tagger("ko", _kiwi),
    "python-mecab-ko": Tagger("ko", _mecab_ko),
    "thai-names": Tagger("th", _thai_names),
    "jieba": Tagger("zh", _jieba),
    "rjieba": Tagger("zh", _rjieba),
    "snownlp": Tagger("zh", _snownlp),
    "jiagu": Tagger("zh", _jiagu),
    "pyvi": Tagger("vi", _pyvi),
    "underthesea": Tagger("vi", _underthesea),
    **{f"rules-{code}": Tagger(code, _rules(code)) for code in ("ko", "th", "vi", "id")},
    "rules-zh": Tagger("zh", _rules("zh-Hans")),
}


def _found(case: Case, find: Find) -> list[Found]:
    return [Found("person_name", *place) for text in case.turns for place in find(text)]


def main() -> None:
    """Print a row of the table, and with `--list` all that is missed and false."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=TAGGERS)
    parser.add_argument("--list", action="store_true", help="print what is missed and false")
    args = parser.parse_args()
    cases = [case for case in all_cases() if case.topic in NAMES]
    tagger = TAGGERS[args.name]
    cases = [case for case in cases if case.language.startswith(tagger.language)]
    memory_kib, started = _memory_kib(), time.process_time()
    find = tagger.load()
    _found(cases[0], find)
    loaded, counts = time.process_time(), Counter[str]()
    for case in cases:
        found = _found(case, find)
        missed = [one for one in case.truth if not any(matches(one, 0, f) for f in found)]
        false = [one for one in found if not any(matches(t, 0, one) for t in case.truth)]
        topic = "in names" if case.truth else "in clean"
        counts += Counter({"values": len(case.truth), "missed": len(missed), topic: len(false)})
        if args.list:
            for truth in missed:
                print("missed", repr(case.turns[0]), case.turns[0][truth.start : truth.end])
            for one in false:
                print("false", repr(case.turns[0]), case.turns[0][one.start : one.end])
    ms = (time.process_time() - loaded) * 1e6 / len(cases)
    print(
        f"{args.name}: {counts['values'] - counts['missed']} of {counts['values']} found,"
        f" {counts['in clean']} false in {sum(not case.truth for case in cases)} clean texts,"
        f" {counts['in names']} in the others; {ms:.0f} ms per 1,000 texts,"
        f" {loaded - started:.1f} s to load, {(_memory_kib() - memory_kib) / 1024:.0f} MiB"
    )


def _memory_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
