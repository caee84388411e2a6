"""Tests of findings on answers in known cases, of scores, and of advice on classes and facts."""

from __future__ import annotations

import re
from pathlib import Path

from service.datasets.checks.issue_codes import CHECKS
from service.datasets.contract.report import Advice
from service.datasets.quality import WEIGHTS, score, weight
from service.datasets.report.render import to_markdown
from tests.conftest import chat_line
from tests.datasets.quality_cases.score import scores, second_scores
from tests.datasets.support import analyze


def test_reports_find_the_answers_that_should_not_be_learned():
    made = scores()
    assert len(made) == 9
    assert [line for score in made for line in score.wrong] == []


def test_few_of_the_cases_written_afterwards_are_missed():
    made = second_scores()
    assert sum(score.found for score in made) >= 21
    assert sum(score.false for score in made) == 0


def _advice(folder: Path, rows: list[tuple[str, str]]) -> dict[str, Advice]:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(chat_line(*row) for row in rows), "utf-8")
    return {advice.code: advice for advice in analyze(path, work=folder).advice}


def test_unbalanced_classes_are_reported(tmp_path):
    rows = [(f"Complaint about item {word}", "complaint") for word in _words(50)]
    rows += [(f"Praise of {word}", "praise") for word in _words(6)]
    advice = _advice(tmp_path, rows)["class_imbalance"]
    assert (advice.evidence["largest"], advice.evidence["smallest"]) == (50, 6)
    assert advice.lines == [51, 52, 53, 54, 55, 56]
    balanced = _advice(tmp_path, [*rows, *((f"I love {word}", "praise") for word in _words(40))])
    assert "class_imbalance" not in balanced


def test_only_rows_whose_answers_are_facts_are_facts_to_look_up(tmp_path):
    words = _words(30)
    facts = [
        (f"How much is the {word}?", f"It costs {at + 7} euros.") for at, word in enumerate(words)
    ]
    advice = _advice(tmp_path, facts)["facts_to_look_up"]
    assert advice.lines == list(range(1, 11))
    orders = [
        (f"Where is my {w}, order {at}?", f"Order {at} left us.") for at, w in enumerate(words)
    ]
    assert "facts_to_look_up" not in _advice(tmp_path, orders)
    steps = [(f"Clean the {w}", f"Wipe the {w}, wait {at} hours.") for at, w in enumerate(words)]
    assert "facts_to_look_up" not in _advice(tmp_path, steps)


def _page(folder: Path, lines: list[str]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    return to_markdown(analyze(path, work=folder))


def test_the_page_begins_with_the_verdict_and_has_words_and_all_lines(tmp_path):
    rows = [chat_line(f"What is the {word}?", f"It is made of {word}.") for word in _words(12)]
    asked = chat_line("Where is the shop?", "Sorry, I am not able to answer that question.")
    page = _page(tmp_path, [*rows, asked, asked, asked])
    first = page.split("\n\n")[1]
    assert first.startswith("**Ready for training after a review: ")
    assert "15 of 15 rows (100.0%) can be trained on" in page
    assert "| refusal | 3 | 20.0 | 0.4 | 13–15 |" in page
    assert "| exact duplicate | 2 | 13.3 | 0.4 | 14–15 |" in page
    assert "exact_duplicate" not in page
    broken = _page(tmp_path, [*rows, "{broken"])
    assert broken.split("\n\n")[1] == (
        "**Not ready for training: 1 of 13 rows (7.7%) is broken and must be fixed or dropped.**"
    )


def test_a_program_reads_whether_the_data_is_ready(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([chat_line("Where?", "Here."), "{broken"]), "utf-8")
    found = analyze(path, work=tmp_path).suitability
    assert found is not None
    assert (found.code, found.figures["broken"], found.figures["rows"]) == ("broken_rows", 1, 2)
    assert found.sentence.startswith("Not ready for training: 1 of 2 rows")


def _words(count: int) -> list[str]:
    first, second = ("red", "old", "tall", "cheap", "soft", "loud"), ("lamp", "table", "chair")
    third = ("cover", "box", "stand")
    return [f"{a} {b} {c}" for a in first for b in second for c in third][:count]


_DOCS = Path(__file__).parents[2] / "docs" / "data-sets.md"


def test_a_score_is_one_minus_the_weights_of_the_findings() -> None:
    assert score([]) == 1
    assert score(["refusal"]) == 0.6
    assert score(["refusal", "refusal", "html"]) == 0.3
    assert score(["null_text", "echo"]) == 0
    assert score(["same_form"]) == 1


def test_only_unusable_rows_have_a_score_of_zero() -> None:
    unusable = {code for code in CHECKS if weight(code).tenths >= 10}
    errors = {code for code, check in CHECKS.items() if check.severity == "error"}
    assert unusable == errors - {"tools_not_supported"}
    assert set(WEIGHTS) <= set(CHECKS)


def test_the_documentation_lists_the_weights_with_their_reasons() -> None:
    text = _DOCS.read_text("utf-8").partition("### Scores")[2].partition("###")[0]
    listed: dict[str, tuple[int, str]] = {}
    for codes, points, reason in re.findall(r"^\| (`.*?) \| (0\.\d) \| (.*?) \|$", text, re.M):
        for code in re.findall(r"`(\w+)`", codes):
            listed[code] = (round(10 * float(points)), reason)
    assert listed == {code: one for code, one in WEIGHTS.items() if one.tenths}
