"""Tests of quality scores: the weights, and that the documentation lists them."""

from __future__ import annotations

import re
from pathlib import Path

from service.datasets.checks.issue_codes import CHECKS
from service.datasets.quality import WEIGHTS, score, weight

_DOCS = Path(__file__).parents[2] / "docs" / "data-sets.md"


def test_a_score_is_one_minus_the_weights_of_the_findings() -> None:
    assert score([]) == 1
    assert score(["refusal"]) == 0.6
    assert score(["refusal", "refusal", "html"]) == 0.3
    assert score(["null_text", "echo"]) == 0
    assert score(["same_form"]) == 1


def test_only_what_cannot_be_trained_on_loses_everything() -> None:
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
