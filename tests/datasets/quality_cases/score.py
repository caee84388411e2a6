"""Compares the report's findings on the quality of answers with the truth of this folder's cases.

python -m tests.datasets.quality_cases.score
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.datasets.support import analyze

_HERE = Path(__file__).parent
_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


class Score(NamedTuple):
    """Result of one topic. `wrong` names each miss and each false alarm: code and row."""

    topic: str
    rows: int
    found: int
    missed: int
    false: int
    wrong: list[str]


class Case(NamedTuple):
    """A row, and the code that must be found in it, if any."""

    topic: str
    row: dict[str, Any]
    code: str | None


def scores() -> list[Score]:
    """Return the score of each topic: of the cases that the rules were written with."""
    return _scores([*_answers("answers.yaml"), *_schemas()])


def second_scores() -> list[Score]:
    """Return the score of each topic for the cases that were written after the rules."""
    return _scores(_answers("second.yaml"))


def _scores(cases: list[Case]) -> list[Score]:
    """Score cases by one report on all of them."""
    topics = list(dict.fromkeys(case.topic for case in cases))
    told = _told([case.row for case in cases])
    made: list[Score] = []
    for topic in topics:
        mine = [case for case in cases if case.topic == topic]
        wanted = {line for line, case in enumerate(cases, 1) if case.code == topic}
        found = told.get(topic, set())
        missed, false = sorted(wanted - found), sorted(found - wanted)
        wrong = [f"missed: {cases[line - 1].row}" for line in missed]
        wrong += [f"false: {cases[line - 1].row}" for line in false]
        made.append(Score(topic, len(mine), len(wanted & found), len(missed), len(false), wrong))
    return made


def _answers(name: str) -> list[Case]:
    topics = yaml.safe_load((_HERE / name).read_text("utf-8"))
    return [
        Case(topic, _chat(question, answer), topic if kind == "found" else None)
        for topic, kinds in topics.items()
        for kind, pairs in kinds.items()
        for question, answer in pairs
    ]


def _schemas() -> list[Case]:
    topics = yaml.safe_load((_HERE / "schemas.yaml").read_text("utf-8"))
    cases: list[Case] = []
    for topic, rows in topics.items():
        for row in rows:
            made = _with_schema(row["answer"]) if "answer" in row else _call(row["arguments"])
            cases.append(Case(topic, made, topic if row.get("found") else None))
    return cases


def _chat(question: str, answer: str) -> dict[str, Any]:
    asked = {"role": "user", "content": question}
    return {"messages": [asked, {"role": "assistant", "content": answer}]}


def _with_schema(answer: str) -> dict[str, Any]:
    system = f"Answer as JSON that matches this schema: {json.dumps(_SCHEMA)}"
    row = _chat("Plan a trip", answer)
    return {"messages": [{"role": "system", "content": system}, *row["messages"]]}


def _call(arguments: str) -> dict[str, Any]:
    function = {"name": "plan_trip", "arguments": arguments}
    call = {"id": "call-1", "type": "function", "function": function}
    asked = {"role": "user", "content": "Plan a trip"}
    return {
        "messages": [asked, {"role": "assistant", "tool_calls": [call]}],
        "tools": [{"type": "function", "function": {"name": "plan_trip", "parameters": _SCHEMA}}],
    }


def _told(rows: list[dict[str, Any]]) -> dict[str, set[int]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_text(text, "utf-8")
        report = analyze(path, work=Path(folder))
    told: dict[str, set[int]] = {}
    for issue in report.findings:
        if issue.line is not None:
            told.setdefault(issue.code, set()).add(issue.line)
    return told


def main() -> None:
    """Print the scores as Markdown tables, each with its misses and false alarms."""
    for title, made in (("first cases", scores()), ("second cases", second_scores())):
        print(f"\n{title}\n\n| topic | rows | found | missed | false |")
        print("| --- | --- | --- | --- | --- |")
        for score in made:
            print("| " + " | ".join(map(str, score[:5])) + " |")
        for score in made:
            print(f"\n{score.topic}", *score.wrong, sep="\n  ")


if __name__ == "__main__":
    main()
