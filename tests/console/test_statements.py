"""Tests that the console has a sentence for each code of the API, in each of its languages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.verdict.results import VerdictKind
from service.verdict.statements import SENTENCES

MESSAGES = Path(__file__).parents[2] / "clients/console/src/messages"
LANGUAGES = sorted(folder.name for folder in MESSAGES.iterdir() if folder.is_dir())


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_statement_has_a_sentence(language: str) -> None:
    known = json.loads((MESSAGES / language / "statements.json").read_text("utf-8"))
    kinds = {f"kind.{kind}" for kind in VerdictKind}
    assert sorted({*SENTENCES, *kinds} - known.keys()) == []
