"""Tests that figures and links in docs/operations.md are correct."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
OPERATIONS = ROOT / "docs" / "operations.md"


def test_the_table_of_sizes_is_up_to_date():
    script = [sys.executable, str(ROOT / "scripts" / "sizes.py")]
    table = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert table.count("\n") > 10
    assert table in OPERATIONS.read_text("utf-8"), "take in what 'python scripts/sizes.py' prints"


def test_links_lead_to_sections():
    text = OPERATIONS.read_text("utf-8")
    for page, anchor in re.findall(r"\]\(([\w.]*)#([\w-]+)\)", text):
        target = (OPERATIONS.parent / page).read_text("utf-8") if page else text
        titles = re.findall(r"^#+ (.+)$", target, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}
        assert anchor in anchors, (page, anchor)
