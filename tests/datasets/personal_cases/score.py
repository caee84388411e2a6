"""Score of the detection of personal data on the cases: found, missed and false.

    python -m tests.datasets.personal_cases.score [--list | --made-up] [--model MODEL]

A value counts as found if a finding of its kind covers all of its letters and digits, and at most
a few characters more. Each finding that is no value of its kind is false.
`--list` prints what is missed and false. `--made-up` prints the share that is found of names that
Faker makes up, which must be installed (`uv run --with faker …`). `--model` adds the findings of a
token classifier.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from service.datasets.contract.tasks import ReportSpec
from service.datasets.personal_data.detect import Found, find_all
from service.datasets.personal_data.kinds import CustomKinds
from service.datasets.personal_data.model_findings import read_findings
from tests.datasets.personal_cases.cases import TOPICS, Case, Truth, all_cases

NAMES = ("bare_names", "words_like_names")
"""Topics of names that stand by themselves, and of texts in which words look like names."""
MADE_UP_LOCALES = ("id_ID", "ko_KR", "vi_VN", "th_TH", "zh_CN", "zh_TW", "hi_IN", "en_US", "en_IN")
"""Locales of Faker."""
_MADE_UP = 500  # names of a locale
_VI_TITLED = re.compile(r"\b(?:ông|bà|cô|chị|anh|bác|quý)\b", re.IGNORECASE)
_MORE_CHARS = 12  # such as the words around an address


MODEL = CustomKinds()  # with the findings of a model, if there is one


def search_with_model(folder: Path, cases: Iterable[Case]) -> None:
    """Add what a token classifier finds in the texts of cases."""
    from service.personal_data_model.__main__ import load, search  # imports torch

    with TemporaryDirectory() as work:
        rows, out = Path(work) / "rows.jsonl", Path(work) / "findings"
        rows.write_text("\n".join(json.dumps({"text": t}) for c in cases for t in c.turns))
        search(ReportSpec(path=rows, result=out), load(folder, "cpu"), out, float("inf"))
        MODEL.by_model = read_findings(out)


def findings(case: Case) -> Iterator[tuple[int, Found]]:
    """Yield the findings in each turn of a case."""
    for turn, text in enumerate(case.turns):
        before = case.turns[turn - 1] if turn else ""
        for found in find_all(text, case.language, before=before, custom=MODEL).certain:
            yield turn, found


def score(case: Case) -> tuple[list[Truth], list[tuple[int, Found]]]:
    """Return what is missed in a case, and the findings that are false."""
    found = list(findings(case))
    used: set[tuple[int, Found]] = set()
    missed = []
    for truth in case.truth:
        match = next((one for one in found if matches(truth, *one)), None)
        if match is None:
            missed.append(truth)
        else:
            used.add(match)
    return missed, [one for one in found if one not in used]


def matches(truth: Truth, turn: int, found: Found) -> bool:
    """Whether a finding in a turn is a value, with at most a few characters more."""
    return (
        (truth.kind, truth.turn) == (found.kind, turn)
        and found.start <= truth.start + 1  # the plus sign or a bracket may be left out
        and found.end >= truth.end - 1
        and found.end - found.start <= truth.end - truth.start + _MORE_CHARS
    )


def totals() -> dict[str, Counter[str]]:
    """Return the number of cases, values, found, missed and false findings by topic."""
    counts = {topic: Counter[str]() for topic in TOPICS}
    for case in all_cases():
        missed, false = score(case)
        counts[case.topic] += Counter(
            cases=1,
            values=len(case.truth),
            found=len(case.truth) - len(missed),
            missed=len(missed),
            false=len(false),
        )
    return counts


def by_kind() -> dict[str, Counter[str]]:
    """Return the number of values, found, missed and false findings by kind."""
    counts: dict[str, Counter[str]] = {}
    for case in all_cases():
        missed, false = score(case)
        for truth in case.truth:
            count = counts.setdefault(truth.kind, Counter())
            count.update(values=1, missed=truth in missed, found=truth not in missed)
        for _, found in false:
            counts.setdefault(found.kind, Counter()).update(false=1)
    return dict(sorted(counts.items()))


def names_by_language() -> dict[str, Counter[str]]:
    """Return what `totals` does, of names that stand by themselves, by language.

    False findings are those in `clean` texts, which are full of words like names.
    """
    counts: dict[str, Counter[str]] = {}
    for case in all_cases():
        if case.topic in NAMES:
            missed, false = score(case)
            counts.setdefault(case.language.partition("-")[0], Counter()).update(
                values=len(case.truth),
                found=len(case.truth) - len(missed),
                missed=len(missed),
                clean=not case.truth,
                false=0 if case.truth else len(false),
            )
    return counts


def made_up_names() -> dict[str, Counter[str]]:
    """Return the number of names that Faker makes up, and found ones, by locale.

    Each replaces a full name in a case of the language.
    """
    faker = importlib.import_module("faker")
    counts: dict[str, Counter[str]] = {}
    for locale in MADE_UP_LOCALES:
        make = faker.Faker(locale)
        make.seed_instance(1)
        cases = list(_with_full_name(locale.partition("_")[0]))
        for number in range(_MADE_UP):
            language, before, after = cases[number % len(cases)]
            text = before + (name := _made_up(make, locale)) + after
            truth = Truth("person_name", 0, len(before), len(before) + len(name))
            missed, _ = score(Case("", "", language, (text,), (truth,)))
            counts.setdefault(locale, Counter()).update(values=1, found=not missed)
    return counts


def _with_full_name(language: str) -> Iterator[tuple[str, str, str]]:
    """Yield the language and the text before and after each full name in cases of a language."""
    every = [case for case in all_cases() if case.language.partition("-")[0] == language]
    bare = [case for case in every if case.topic in NAMES]
    for case in bare or every:
        if len(case.turns) == 1:
            for truth in case.truth:
                text = case.turns[0]
                name = text[truth.start : truth.end]
                full = len(name) > 2 if language in ("ko", "zh") else " " in name
                if truth.kind == "person_name" and full:
                    yield case.language, text[: truth.start], text[truth.end :]


def _made_up(make: Any, locale: str) -> str:
    if locale == "vi_VN":  # writes the family name last in its full names, some with a title
        while _VI_TITLED.search(name := make.name()) or name.count(" ") < 2:
            pass
        return " ".join(reversed(name.split()))
    given, family = make.first_name(), make.last_name()
    return f"{family}{given}" if locale[:2] in ("ko", "zh") else f"{given} {family}"


def main() -> None:
    """Print the table, or all that is missed and false."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print what is missed and false")
    parser.add_argument("--made-up", action="store_true", help="score names that Faker makes up")
    parser.add_argument("--model", type=Path, help="folder of a token classifier")
    given = parser.parse_args()
    if given.made_up:
        _print_table("locale", made_up_names(), ("values", "found"))
        return
    if given.model:
        search_with_model(given.model, all_cases())
    if given.list:
        for case in all_cases():
            missed, false = score(case)
            for truth in missed:
                print("missed", case.group, truth.kind, repr(case.turns[truth.turn]))
            for turn, found in false:
                value = case.turns[turn][found.start : found.end]
                print("false", case.group, found.kind, repr(value), repr(case.turns[turn]))
        return
    started = time.process_time()
    _print_table("topic", totals(), ("cases", "values", "found", "missed", "false"))
    _print_table("kind", by_kind(), ("values", "found", "missed", "false"))
    _print_table("names in", names_by_language(), ("values", "found", "missed", "clean", "false"))
    print(f"{time.process_time() - started:.1f} CPU s")


def _print_table(key: str, rows: dict[str, Counter[str]], columns: tuple[str, ...]) -> None:
    print("|", " | ".join((key, *columns)), "|")
    print("|", " | ".join("---" for _ in (key, *columns)), "|")
    for name, n in rows.items():
        print("|", " | ".join((name.replace("_", " "), *(str(n[c]) for c in columns))), "|")
    print()


if __name__ == "__main__":
    main()
