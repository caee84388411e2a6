"""The page for reviewers names tests that exist, and has a row for each risk."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
_NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_ROW = re.compile(
    r"^\| (?P<risk>(?:API|LLM)\d\d?) [^|]+ \| (?P<defense>[^|]+) \| (?P<tests>.+) \|$", re.M
)
RISKS = {f"API{n}" for n in range(1, 11)} | {f"LLM{n:02}" for n in range(1, 11)}


@cache
def functions(file: str) -> set[str]:
    """Return the names of all functions in a file of tests."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


@pytest.mark.parametrize(("file", "name"), sorted(set(_NAMED.findall(PAGE))))
def test_a_named_test_exists(file: str, name: str):
    assert (ROOT / file).exists()
    assert name in functions(file)


def test_each_risk_has_a_row_with_a_test_or_says_that_nothing_defends():
    rows = {row["risk"]: row for row in _ROW.finditer(PAGE)}
    assert rows.keys() == RISKS
    for risk, row in rows.items():
        assert _NAMED.search(row["tests"]) or row["defense"].startswith("none: "), risk
