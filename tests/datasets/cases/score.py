"""Compares reports on the files of this folder with the truth, by pairs of lines.

python -m tests.datasets.cases.score
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from service.datasets.contract.report import Report
from tests.datasets.support import analyze

Pairs = set[tuple[int, int]]
_HERE = Path(__file__).parent


class Score(NamedTuple):
    """Result of one topic. `wrong` names each miss and each false alarm: case, kind, and lines."""

    topic: str
    files: int
    found: int
    missed: int
    false: int
    wrong: list[str]


def scores() -> list[Score]:
    """Return the score of each topic."""
    near, conflicts = _cases("near_duplicates"), _cases("contradictions")
    reports = {case["name"]: _report(case["rows"]) for case in near}
    copies = [
        (case["name"], _pairs(case.get("copies", [])), _told(reports[case["name"]], "near"))
        for case in near
    ]
    facts = [
        (case["name"], _pairs(case.get("facts", [])), _told(reports[case["name"]], "variants"))
        for case in near
    ]
    opposed = [
        (case["name"], _pairs(case.get("conflicts", [])), _told(_report(case["rows"]), "conflicts"))
        for case in conflicts
    ]
    leaked = [
        (case["name"], {(a, b) for a, b in case["leaked"]}, _leaks(case))
        for case in _cases("leakage")
    ]
    return [
        _score("near-duplicates", copies),
        _score("one word or sign", [_one_word()]),
        _score("same form, different facts", facts),
        _score("contradictions", opposed),
        _score("leakage", leaked),
        _score("reviewed", [_reviewed(case) for case in _cases("reviewed")]),
    ]


_REVIEWED = frozenset(
    [
        *("answer_in_other_language", "broken_json", "cut_off_answer", "echo", "html", "mojibake"),
        *("placeholder", "refusal", "special_token"),
    ]
)


def _reviewed(case: dict[str, Any]) -> tuple[str, set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    """Return what a person found in the rows of a case, and what the report finds."""
    report = _report(case["rows"])
    truth: set[tuple[Any, ...]] = {(code, line) for line, code in case.get("findings", {}).items()}
    told: set[tuple[Any, ...]] = {
        (issue.code, issue.line)
        for issue in (*report.findings, *report.validation.issues)
        if issue.code in _REVIEWED
    }
    for key, kind in (("copies", "near"), ("conflicts", "conflicts")):
        truth |= {(key, *pair) for pair in _pairs(case.get(key, []))}
        told |= {(key, *pair) for pair in _told(report, kind)}
    return case["name"], truth, told


def _one_word() -> tuple[str, Pairs, Pairs]:
    """Return which pairs of `one_word.yaml` are copies, and which the report calls so."""
    pairs = yaml.safe_load((_HERE / "one_word.yaml").read_text("utf-8"))
    rows = [row for pair in (*pairs["copies"], *pairs["different"]) for row in pair]
    truth = {(line, line + 1) for line in range(1, 2 * len(pairs["copies"]), 2)}
    findings = _report(rows).findings
    told = {(f.other_line or 0, f.line or 0) for f in findings if f.code == "near_duplicate"}
    return "one_word", truth, told


def _cases(topic: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = yaml.safe_load((_HERE / f"{topic}.yaml").read_text("utf-8"))
    return cases


def _write(path: Path, rows: list[list[str]]) -> Path:
    roles = ("user", "assistant")
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(row)]
            out.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
    return path


def _report(rows: list[list[str]], held: list[list[str]] | None = None) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        source = _write(Path(folder) / "train.jsonl", rows)
        other = None if held is None else _write(Path(folder) / "held.jsonl", held)
        return analyze(source, validation=other, work=Path(folder))


def _told(report: Report, kind: str) -> Pairs:
    named = {"near": "near_duplicates", "variants": "same_form", "conflicts": "contradictions"}
    stats = getattr(report, named[kind], None)
    return set() if stats is None else _pairs(stats.examples)


def _leaks(case: dict[str, Any]) -> Pairs:
    overlap = _report(case["train"], case["held"]).overlap
    assert overlap is not None
    return {(held, train) for held, train in overlap.examples}


def _pairs(groups: list[list[int]]) -> Pairs:
    return {pair for group in groups for pair in combinations(sorted(group), 2)}


def _score(topic: str, cases: Sequence[tuple[str, AbstractSet[Any], AbstractSet[Any]]]) -> Score:
    wrong = [
        f"{name}: {what} {pair}"
        for name, truth, told in cases
        for what, pairs in (("missed", truth - told), ("false", told - truth))
        for pair in sorted(pairs)
    ]
    return Score(
        topic,
        len(cases),
        sum(len(truth & told) for _, truth, told in cases),
        sum(len(truth - told) for _, truth, told in cases),
        sum(len(told - truth) for _, truth, told in cases),
        wrong,
    )


def main() -> None:
    """Print the scores as a Markdown table, then each miss and each false alarm."""
    made = scores()
    print("| topic | files | found | missed | false |\n| --- | --- | --- | --- | --- |")
    for score in made:
        print("| " + " | ".join(map(str, score[:5])) + " |")
    for score in made:
        print(f"\n{score.topic}", *score.wrong, sep="\n  ")


if __name__ == "__main__":
    main()
