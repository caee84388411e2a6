"""Tests that figures and links in the pages for operators are correct."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.open_models import OPEN_MODELS

ROOT = Path(__file__).parent.parent.parent
OPERATIONS = ROOT / "docs" / "operations.md"


def test_the_tables_of_sizes_are_up_to_date():
    script = [sys.executable, str(ROOT / "scripts" / "sizes.py")]
    printed = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    tables = printed.strip().split("\n\n")
    pages = [
        page.read_text("utf-8") for page in (OPERATIONS, *3 * [OPERATIONS.parent / "models.md"])
    ]
    assert [table.count("\n") > 5 for table in tables] == [True] * 4
    for table, page in zip(tables, pages, strict=True):
        assert f"{table}\n" in page, "run 'python scripts/sizes.py --write'"


def test_computed_parameters_are_those_of_the_model_cards():
    known = {
        "Qwen3-0.6B": 0.6, "Qwen3-8B": 8.2, "Qwen3-32B": 32.8, "Llama-3.2-1B-Instruct": 1.23,
        "Llama-3.2-3B-Instruct": 3.21, "Llama-3.1-8B-Instruct": 8.03,
        "Llama-3.3-70B-Instruct": 70.6, "gemma-3-1b-it": 1.0, "gemma-3-4b-it": 4.3,
        "gemma-3-12b-it": 12.2, "gemma-3-27b-it": 27.4, "Mistral-7B-Instruct-v0.3": 7.25,
        "Ministral-3-3B-Instruct-2512-BF16": 3.8, "Ministral-3-8B-Instruct-2512-BF16": 8.8,
        "Ministral-3-14B-Instruct-2512-BF16": 13.9, "Phi-4-mini-instruct": 3.8,
        "SmolLM2-1.7B-Instruct": 1.71, "SmolLM3-3B": 3.08,
        "gemma2-9b-cpt-sahabatai-v1-instruct": 9.24, "llm-jp-4-8b-instruct": 8.59,
        "llm-jp-3.1-13b-instruct4": 13.7, "DeepSeek-R1-Distill-Qwen-1.5B": 1.78,
        "DeepSeek-R1-Distill-Qwen-7B": 7.62, "DeepSeek-R1-Distill-Qwen-14B": 14.8,
        "DeepSeek-R1-Distill-Qwen-32B": 32.8,
    }  # fmt: skip
    shapes = {model.name: model.shape for model in OPEN_MODELS}
    for name, billions in known.items():
        shape = shapes[name]
        assert shape is not None
        assert shape.model().parameters / 1e9 == pytest.approx(billions, rel=0.02), name


@pytest.mark.parametrize("name", ["operations.md", "settings.md", "runbook.md"])
def test_links_lead_to_sections(name):
    text = (ROOT / "docs" / name).read_text("utf-8")
    for page, anchor in re.findall(r"\]\(([\w.-]*)#([\w-]+)\)", text):
        target = (ROOT / "docs" / page).read_text("utf-8") if page else text
        titles = re.findall(r"^#+ (.+)$", target, re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}
        assert anchor in anchors, (page, anchor)
