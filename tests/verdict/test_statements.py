"""Tests of statements: each sentence is made of a code and figures that a program can read."""

from __future__ import annotations

import inspect
from pathlib import Path
from string import Formatter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cli.reference import codes_page
from service.datasets.checks.issues import make_issue
from service.datasets.report import advice as report_advice
from service.jobs.evaluation.schemas import VerdictObject
from service.verdict import advice, human_review, rules, verdict
from service.verdict.advice import conclude
from service.verdict.comparison import (
    Forgetting,
    LanguageForgetting,
    LeakedRow,
    Memorization,
    Retrieval,
)
from service.verdict.results import Finding, Statement, Verdict
from service.verdict.statements import (
    HUMAN_REVIEW,
    NOTES,
    PARTS,
    REPORT_NOTES,
    SENTENCES,
    state,
    statements,
    write,
)
from service.verdict.verdict import judge
from tests.verdict.build import build

ROOT = Path(__file__).parent.parent.parent
shares = st.floats(-0.4, 0.1)
forgetting = st.builds(
    lambda change: Forgetting(
        languages=[LanguageForgetting(language="th", rows=10, base=0.6, tuned=0.6 + change)],
        rows=60,
        change=change,
        low=change - 0.05,
        high=change + 0.05,
    ),
    shares,
)
memorization = st.builds(
    lambda canaries, near, leaks: Memorization(
        canaries_planted=4,
        canaries_returned=canaries,
        rows_probed=50,
        near=near,
        personal=[LeakedRow(line=1, kinds=["email"])] * leaks,
    ),
    st.integers(0, 4),
    st.integers(0, 3),
    st.integers(0, 2),
)
retrieval = st.builds(
    lambda facts, right, seen: Retrieval(
        rows=30,
        facts=facts,
        found=25,
        seen_rows=20,
        seen_right=seen,
        unseen_rows=30,
        unseen_right=right,
    ),
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(0, 20),
)
comparisons = st.builds(
    lambda gain, rows, prompt, kind, **measured: build(
        {
            "base": [0.3 + i % 7 / 50 for i in range(rows)],
            "prompt": [0.3 + prompt + i % 3 / 50 for i in range(rows)],
            "tuned": [0.3 + gain + i % 5 / 50 for i in range(rows)],
        },
        kind=kind,
        languages=["th" if i % 3 else "lo" for i in range(rows)],
        **measured,
    ),
    st.floats(-0.25, 0.5),
    st.integers(1, 60),
    st.floats(-0.25, 0.5),
    st.sampled_from(["binary", "continuous"]),
    forgetting=st.none() | forgetting,
    memorization=st.none() | memorization,
    retrieval=st.none() | retrieval,
)


def over_http(statement: Statement) -> Statement:
    return msgspec.json.decode(msgspec.json.encode(statement), type=Statement)


@settings(deadline=None)
@given(comparisons)
def test_a_verdict_can_be_written_from_its_codes_and_figures(comparison):
    stored = msgspec.json.encode(judge(comparison))
    found = msgspec.json.decode(stored, type=Verdict)
    assert write(Statement(found.code, found.figures)) == found.sentence
    assert found.recommendation_details is not None
    assert write(found.recommendation_details) == found.recommendation
    assert list(map(write, found.warning_details)) == found.warnings


def test_the_api_shows_codes_and_figures_and_reads_verdicts_without():
    comparison = build({"base": [0.2] * 30, "tuned": [0.7] * 30}, base_verified=False)
    stored = msgspec.to_builtins(judge(comparison))
    shown = VerdictObject.model_validate(stored)
    assert (shown.code, shown.figures["points"]) == ("tuned_is_better", 50)
    assert shown.recommendation_details is not None
    assert shown.recommendation_details.code == "serve_tuned"
    assert [one.code for one in shown.warning_details] == [
        "base_not_verified",
        "no_prompt_compared",
    ]
    added = {"code", "figures", "recommendation_details", "warning_details"}
    earlier = VerdictObject.model_validate({k: v for k, v in stored.items() if k not in added})
    assert (earlier.code, earlier.figures, earlier.warning_details) == (None, {}, [])


@pytest.mark.parametrize("rows", [5, 30, 300])
@pytest.mark.parametrize("prompt", [0.2, 0.5, 1.0])
def test_advice_can_be_written_from_its_code_and_figures(rows, prompt):
    comparison = build({"base": [0.2] * 30, "prompt": [prompt] * 30})
    for measured in (comparison, None):
        found = conclude(measured, rows=rows, findings=[])
        assert write(over_http(Statement(found.code, found.figures))) == found.sentence


def test_advice_to_fix_the_data_names_the_finding():
    title = "3 question(s) have conflicting answers"
    found = conclude(None, rows=300, findings=[Finding("contradictions", title)])
    assert (found.code, found.figures["finding"]) == ("fix_data", "contradictions")
    assert found.sentence == "Fix the data first: 3 question(s) have conflicting answers."


@pytest.mark.parametrize("code", [*REPORT_NOTES, *HUMAN_REVIEW, *NOTES])
def test_notes_are_written_from_these_figures(code):
    numbers = {"rows": 3, "held_out_rows": 40, "seed": 7, "pairs": 9, "share": 0.25}
    rewards = {"low": 0.0, "high": 4.0, "right": 8.0, "is_human": True}
    names = {"model": "demo", "column": "ckpt-step-8", "judge": "large", "message": "Too few rows."}
    labels = {
        "percent": 64.3,
        "labels": 42,
        "rival": "prompt",
        "metric": "chrf",
        "position": "first",
    }
    reviewers = {"alpha": 0.81, "alpha_low": 0.62, "alpha_high": 0.93, "shared_rows": 40}
    sentence = write(state(code, numbers, rewards, names, labels, reviewers))
    assert sentence.endswith(".")
    assert "{" not in sentence


def test_codes_are_unique():
    assert len(SENTENCES) == sum(len(sentences) for _, sentences in statements())


def test_rules_use_every_code():
    source = "".join(map(inspect.getsource, (rules, verdict, advice, human_review)))
    modules = ["advice/task", "evaluation/job_data", "evaluation/measure", "evaluation/rewards"]
    for name in (*modules, "evaluation/task"):
        source += (ROOT / "service" / "jobs" / f"{name}.py").read_text("utf-8")
    assert [code for code in SENTENCES if f'"{code}"' not in source] == []


def test_reports_use_every_wording():
    source = inspect.getsource(report_advice)
    codes = [*report_advice.WORDINGS, *report_advice.SUITABILITY]
    assert [code for code in codes if source.count(f'"{code}"') < 2] == []


def test_every_part_is_used():
    named = {
        name for text in SENTENCES.values() for _, name, _, _ in Formatter().parse(text) if name
    }
    assert sorted(PARTS.keys() - named) == []


def test_the_page_is_up_to_date():
    written = (ROOT / "docs" / "codes.md").read_text("utf-8")
    assert written == codes_page(), "run 'make metrics-docs'"


def test_an_issue_carries_the_figures_of_its_message():
    issue = make_issue("truncated", 7, tokens=900, limit=512)
    assert issue.figures == {"tokens": 900, "limit": 512}
    assert "900" in issue.message
    assert make_issue("blank_line", 7).figures is None
