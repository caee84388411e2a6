"""Tests of vLLM's parsers of tool calls and reasoning, as declared or detected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.models.catalogue import BaseModelEntry
from service.models.parsers import (
    ReasoningParsers,
    ToolCallParsers,
    detect_reasoning_parser,
    detect_tool_call_parser,
)
from tests.models.folders import with_template

MISTRAL = """\
{%- for m in messages %}
    {%- if m.tool_calls %}{{- '[TOOL_CALLS]' + (m.tool_calls | map(attribute='function') | list
        | tojson) + eos_token }}
    {%- else %}{{- m.content }}{% endif %}
{%- endfor %}"""
PHI = MISTRAL.replace("[TOOL_CALLS]", "functools")
PYTHONIC = """\
{%- for m in messages %}{% for call in m.tool_calls or [] %}[{{ call.function.name }}(
{%- for name, value in call.function.arguments.items() %}{{ name }}={{ value | tojson }}{% endfor %}
{{- ")]" }}{% endfor %}{{- m.content }}{% endfor %}"""
OWN = MISTRAL.replace("[TOOL_CALLS]", "CALLS OF A NEW MODEL ")


def entry(path: Path, parser: str | None = None) -> BaseModelEntry:
    return BaseModelEntry(
        id="m", path=path, license="mit", context_length=1, tool_call_parser=parser
    )


def own_template(folder: Path, template: str) -> Path:
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    return folder


@pytest.mark.parametrize(
    ("template", "parser"),
    [
        ("qwen2_5", "hermes"),
        ("qwen3_vl", "hermes"),
        ("qwen3_8", "qwen3_coder"),
        ("nemotron_3_ultra", "qwen3_coder"),
        ("llama3_1", "llama3_json"),
        ("llama3_2", "llama3_json"),
        ("glm4moe", "glm45"),
        ("gptoss", "openai"),
        ("gemma4_v5", "gemma4"),
        ("lfm2_2_5", "lfm2"),
        ("muse_glimmer", None),  # a format that is not known here
        ("llama3", None),
        ("phi3_5", None),
        ("gemma3", None),
    ],
)
def test_the_tool_call_parser_follows_from_a_real_models_template(template, parser, tmp_path):
    assert detect_tool_call_parser(with_template(tmp_path, template)) == parser


@pytest.mark.parametrize(
    ("template", "parser"),
    [(MISTRAL, "mistral"), (PHI, "phi4_mini_json"), (PYTHONIC, "pythonic"), (OWN, None)],
)
def test_the_tool_call_parser_follows_from_the_template(template, parser, tmp_path):
    assert detect_tool_call_parser(own_template(tmp_path, template)) == parser


def test_a_parser_without_its_token_is_not_chosen(tmp_path):
    """An engine would not start. Some models have Llama 3.0's tokenizer and a newer template."""
    tokenizer = with_template(tmp_path, "llama3_1") / "tokenizer.json"
    tokenizer.write_text('{"added_tokens": [{"content": "<|eot_id|>"}]}')
    assert detect_tool_call_parser(tmp_path) is None
    tokenizer.write_text('{"added_tokens": [{"content": "<|python_tag|>"}]}')
    assert detect_tool_call_parser(tmp_path) == "llama3_json"


def test_the_tool_call_parser_is_declared_set_or_detected(tmp_path):
    folder = with_template(tmp_path, "qwen3")
    parsers = ToolCallParsers("mistral")
    assert parsers.choose(entry(folder, "llama3_json")) == "llama3_json"
    assert parsers.choose(entry(folder)) == "mistral"
    assert parsers.choose(entry(folder, "none")) is None
    assert parsers.are_needed(entry(folder, "none")) is False
    assert ToolCallParsers().choose(entry(folder)) == "hermes"
    assert ToolCallParsers("none").are_needed(entry(folder)) is False


def test_capabilities_of_an_unreadable_folder_are_unknown(tmp_path):
    parsers = ToolCallParsers()
    assert parsers.are_needed(entry(tmp_path / "on-another-machine")) is None
    assert parsers.are_needed(entry(tmp_path / "on-another-machine", "hermes")) is True


def test_a_changed_template_applies_immediately(tmp_path):
    parsers = ToolCallParsers()
    file = with_template(tmp_path, "llama3") / "chat_template.jinja"
    assert parsers.are_needed(entry(tmp_path)) is False
    with_template(tmp_path, "llama3_1")
    os.utime(file, ns=(1, 1))
    assert parsers.are_needed(entry(tmp_path)) is True


# It writes thoughts in rows, but not an empty one before an answer without.
OPTIONAL_REASONING = """\
{%- for m in messages %}
    {%- if m.reasoning_content %}{{- '<think>' + m.reasoning_content + '</think>' }}{% endif %}
    {{- m.content }}
{%- endfor %}"""


def reasoning_entry(path: Path, parser: str | None = None) -> BaseModelEntry:
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
def test_the_reasoning_parser_follows_from_the_template(template, parser, tmp_path):
    assert detect_reasoning_parser(with_template(tmp_path, template)) == parser


def test_an_answer_without_reasoning_is_not_parsed_as_reasoning(tmp_path):
    (tmp_path / "chat_template.jinja").write_text(OPTIONAL_REASONING, "utf-8")
    assert detect_reasoning_parser(tmp_path) is None


def test_the_reasoning_parser_is_declared_set_or_detected(tmp_path):
    folder = with_template(tmp_path, "qwen3")
    parsers = ReasoningParsers("granite")
    assert parsers.choose(reasoning_entry(folder, "deepseek_r1")) == "deepseek_r1"
    assert parsers.choose(reasoning_entry(folder)) == "granite"
    assert parsers.choose(reasoning_entry(folder, "none")) is None
    assert parsers.are_needed(reasoning_entry(folder, "none")) is False
    assert ReasoningParsers().choose(reasoning_entry(folder)) == "qwen3"
    assert ReasoningParsers("none").are_needed(reasoning_entry(folder)) is False
    assert ReasoningParsers().are_needed(reasoning_entry(tmp_path / "on-another-machine")) is None
