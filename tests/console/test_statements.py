"""Tests that the console has a sentence for each code of the API, in each of its languages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.datasets.report.advice import WORDINGS
from service.diagnostics.checks import CODES
from service.jobs.planning.notes import REASONS
from service.jobs.records import EVENT_CODES
from service.verdict.statements import SENTENCES

UNREADABLE = frozenset(
    {"unknown_format", "document", "damaged_document", "scanned_document", "sheet_too_large"}
    | {"no_assistant", "unknown_columns", "empty_file"}
)
"""Faults for which a whole file that someone has uploaded cannot be read."""
MESSAGES = Path(__file__).parents[2] / "clients/console/src/messages"
LANGUAGES = sorted(folder.name for folder in MESSAGES.iterdir() if folder.is_dir())


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_statement_has_a_sentence(language: str) -> None:
    known = json.loads((MESSAGES / language / "statements.json").read_text("utf-8"))
    assert sorted(SENTENCES.keys() - known.keys()) == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("area", "prefix", "codes"),
    [
        ("jobs", "event_code.", EVENT_CODES - {"setting"}),
        ("train", "reason.", REASONS),
        ("admin", "health.check.", CODES),
        ("rows", "advice.", frozenset(WORDINGS)),
        ("files", "fault_of.", UNREADABLE),
        ("files", "fix_of.", UNREADABLE),
    ],
)
def test_each_code_has_a_sentence(
    language: str, area: str, prefix: str, codes: frozenset[str]
) -> None:
    known = json.loads((MESSAGES / language / f"{area}.json").read_text("utf-8"))
    assert sorted({prefix + code for code in codes} - known.keys()) == []
