"""Tests that polling loops on the pages end, however the job ends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.jobs.records import FINAL

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    *(ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("clients/*/README.md")),
    *(*ROOT.glob("examples/*.md"), *ROOT.glob("examples/*.py")),
]
_LIST = re.compile(r"[(\[{][^()\[\]{}]*\bsucceeded\b[^()\[\]{}]*[)\]}]")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_list_of_final_statuses_is_whole(page: Path):
    for found in _LIST.findall(page.read_text("utf-8")):
        if "failed" in found:
            assert all(status in found for status in FINAL), found
