"""Tests of which base models think, and how their thoughts are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.models.catalogue import BaseModelEntry
from service.models.parsers import ReasoningParsers, detect_reasoning_parser
from tests.models.folders import with_template

# It writes thoughts in rows, but not an empty one before an answer without.
OPTIONAL = """\
{%- for m in messages %}
    {%- if m.reasoning_content %}{{- '<think>' + m.reasoning_content + '</think>' }}{% endif %}
    {{- m.content }}
{%- endfor %}"""


def entry(path: Path, parser: str | None = None) -> BaseModelEntry:
    return BaseModelEntry(
        id="m", path=path, license="mit", context_length=1, reasoning_parser=parser
    )


@pytest.mark.parametrize(
    ("template", "parser"),
    [
        ("qwen3", "qwen3"),
        ("qwen3_5_think", "qwen3"),
        ("qwen3_8", "qwen3"),
        ("glm4moe", "glm45"),
        ("nemotron_3_nano", "nemotron_v3"),
        ("gptoss", "openai_gptoss"),
        ("deepseek_r1_distill", "deepseek_r1"),
        ("qwen3_instruct_2507", None),
        ("qwen2_5", None),
        ("llama3_1", None),
        ("phi3_5", None),
        ("gemma3", None),
    ],
)
def test_the_parser_follows_from_a_real_models_template(template, parser, tmp_path):
    assert detect_reasoning_parser(with_template(tmp_path, template)) == parser


def test_an_answer_without_reasoning_is_not_parsed_as_reasoning(tmp_path):
    (tmp_path / "chat_template.jinja").write_text(OPTIONAL, "utf-8")
    assert detect_reasoning_parser(tmp_path) is None


def test_the_catalog_comes_before_the_setting_and_both_before_the_template(tmp_path):
    folder = with_template(tmp_path, "qwen3")
    parsers = ReasoningParsers("granite")
    assert parsers.choose(entry(folder, "deepseek_r1")) == "deepseek_r1"
    assert parsers.choose(entry(folder)) == "granite"
    assert parsers.choose(entry(folder, "none")) is None
    assert parsers.thinks(entry(folder, "none")) is False
    assert ReasoningParsers().choose(entry(folder)) == "qwen3"
    assert ReasoningParsers("none").thinks(entry(folder)) is False
    assert ReasoningParsers().thinks(entry(tmp_path / "on-another-machine")) is None
