"""Compares what words find with what an encoder finds, on questions that are asked in other words.

python -m tests.datasets.cases.meaning_score FOLDER --prompt "query: "
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from service.datasets.contract import EncoderChoice
from service.datasets.report.analysis import analyse
from service.datasets.report.report import Report

Pairs = set[frozenset[int]]
_HERE = Path(__file__).parent


class Truth(NamedTuple):
    """The rows of a language, and the pairs of lines that mean the same, and that contradict."""

    rows: list[tuple[str, str]]
    same: Pairs
    opposed: Pairs


class Score(NamedTuple):
    """Pairs found and pairs that are wrong: of questions, of copies, and of contradictions."""

    questions: tuple[int, int]
    same: tuple[int, int]
    opposed: tuple[int, int]


def truths() -> dict[str, Truth]:
    """Return the rows of each language and the truth about them."""
    listed: dict[str, dict[str, Any]] = yaml.safe_load((_HERE / "meaning.yaml").read_text("utf-8"))
    return {language: _truth(kinds) for language, kinds in listed.items()}


def _truth(kinds: dict[str, list[list[str]]]) -> Truth:
    rows: list[tuple[str, str]] = []
    pairs: dict[str, Pairs] = {"same": set(), "opposed": set()}
    for kind, found in pairs.items():
        for question, answer, other, other_answer in kinds[kind]:
            found.add(frozenset((len(rows) + 1, len(rows) + 2)))
            rows += [(question, answer), (other, other_answer)]
    asked = {question for question, _ in rows}
    answers = cycle([answer for _, answer in rows])
    for pair in kinds["different"]:
        rows += [(question, next(answers)) for question in pair if question not in asked]
    return Truth(rows, pairs["same"], pairs["opposed"])


def report_on(rows: list[tuple[str, str]], encoder: EncoderChoice | None) -> Report:
    """Return the report on rows of a question and an answer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        with path.open("w", encoding="utf-8") as out:
            for question, answer in rows:
                messages = [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": answer},
                ]
                out.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
        return analyse(path, work=Path(folder), encoder=encoder)


def score(truth: Truth, same: Pairs, opposed: Pairs) -> Score:
    """Return how many pairs are right and how many are wrong."""
    told, known = same | opposed, truth.same | truth.opposed
    return Score(
        (len(told & known), len(told - known)),
        (len(same & truth.same), len(same - truth.same)),
        (len(opposed & truth.opposed), len(opposed - truth.opposed)),
    )


def by_words(truth: Truth) -> Score:
    """Return the score of the comparison of words."""
    return score(truth, *_listed(report_on(truth.rows, None), "near_duplicate", "contradiction"))


def by_meaning(truth: Truth, encoder: EncoderChoice) -> Score:
    """Return the score of an encoder."""
    report = report_on(truth.rows, encoder)
    return score(truth, *_listed(report, "same_meaning", "meaning_contradiction"))


def _listed(report: Report, *codes: str) -> tuple[Pairs, ...]:
    return tuple(
        {
            frozenset((one.line, one.other_line))
            for one in report.findings
            if one.code == code and one.line is not None and one.other_line is not None
        }
        for code in codes
    )


def main() -> None:
    """Print a Markdown table: pairs found / pairs that are wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the encoder")
    parser.add_argument("--prompt", default="", help="text before each text, such as 'query: '")
    given = parser.parse_args()
    encoder = EncoderChoice(given.folder.name, given.folder, given.prompt)
    print("| language | way | questions | same meaning | contradictions |")
    print("| --- | --- | --- | --- | --- |")
    for language, truth in truths().items():
        most = (len(truth.same | truth.opposed), len(truth.same), len(truth.opposed))
        for way, found in (("words", by_words(truth)), ("encoder", by_meaning(truth, encoder))):
            cells = (
                f"{right} of {all_}, {wrong} wrong"
                for (right, wrong), all_ in zip(found, most, strict=True)
            )
            print("|", " | ".join((language, way, *cells)), "|")
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"\n{used.ru_utime + used.ru_stime:.1f} CPU s, {used.ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
