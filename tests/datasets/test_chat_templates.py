"""Tests of which chat templates, as shipped with TRL, render tool calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.datasets.chat_templates import is_bounded, takes_system, takes_tools
from tests.models.folders import with_template

PLAIN = "{% for m in messages %}{{ m.role + ': ' + m.content + eos_token }}{% endfor %}"
# Like Mistral's: an id of nine letters and digits, and tools only before the question.
STRICT = """\
{%- for m in messages %}
    {%- if m.tool_calls %}
        {%- if m.tool_calls[0].id|length != 9 %}{{ raise_exception('nine!') }}{% endif %}
        {{- '[CALLS]' + (m.tool_calls[0].function | tojson) + eos_token }}
    {%- elif m.role == 'tool' %}{{- '[RESULT]' + m.content + '[/RESULT]' }}
    {%- else %}{% generation %}{{- m.content }}{% endgeneration %}{% endif %}
{%- endfor %}"""
NAMED = """\
{%- for m in messages %}{% if m.role == 'tool' and not m.name %}{{ raise_exception('') }}\
{% endif %}{{ m.content }}{{ m.tool_calls }}{% endfor %}"""
CALLS_ALONE = """\
{%- for m in messages if m.role != 'tool' %}{{ m.content }}{{ m.tool_calls }}{% endfor %}"""


def folder_of(path: Path, template: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "chat_template.jinja").write_text(template, "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "takes"),
    [
        ("llama3_1", True),
        ("llama3_2", True),  # prints today's date
        ("qwen2_5", True),
        ("qwen3", True),
        ("qwen3_training", True),  # marks the generated text
        ("gptoss", True),
        ("glm4moe", True),
        ("llama3", False),
        ("phi3", False),
        ("cohere", False),
        ("gemma3", False),  # refuses the role
        ("deepseekv3", False),  # joins arguments as text, and refuses objects
    ],
)
def test_templates_of_real_models(name: str, takes: bool, tmp_path: Path) -> None:
    assert takes_tools(with_template(tmp_path, name)) is takes


@pytest.mark.parametrize(
    ("template", "takes"),
    [
        ("llama3", True),
        ("gemma3", True),  # within the first question
        ("gemma", False),  # refuses the role
        ("{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}", False),
        ("{% broken", None),
    ],
)
def test_system_messages(template: str, takes: bool | None, tmp_path: Path) -> None:
    folder = (folder_of if "{" in template else with_template)(tmp_path, template)
    assert takes_system(folder) is takes


@pytest.mark.parametrize(
    ("template", "takes"),
    [
        (PLAIN, False),
        (STRICT, True),
        (NAMED, True),
        (CALLS_ALONE, False),
        ("{{ nothing.known }}", None),
        ("{% broken", None),
        ("{{ messages | unheard_of }}", None),
    ],
)
def test_templates_with_special_requirements(
    template: str, takes: bool | None, tmp_path: Path
) -> None:
    assert takes_tools(folder_of(tmp_path, template)) is takes


@pytest.mark.parametrize(
    ("template", "bounded"),
    [
        (PLAIN, True),
        ("{% broken", True),
        ("{% for i in range(10**9) %}{% endfor %}", True),  # refused by the sandbox
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", True),
        ("{{ messages.__class__.__mro__[1].__subclasses__() }}", True),
        ("{{ 'a' * 10**10 }}", False),
        (
            "{% set ns = namespace(s='a') %}"
            "{% for i in range(40) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
            False,
        ),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", False),
    ],
)
def test_a_hostile_template_ends(template: str, bounded: bool, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, template)
    assert is_bounded(folder) is bounded
    assert takes_tools(folder) is (False if template == PLAIN else None)


def test_a_separate_template_for_tools_is_used(tmp_path: Path) -> None:
    named = [{"name": "default", "template": PLAIN}, {"name": "tool_use", "template": STRICT}]
    config = {"chat_template": named, "eos_token": {"content": "</s>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert takes_tools(tmp_path) is True
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": PLAIN}))
    assert takes_tools(tmp_path) is False
    folder_of(tmp_path, PLAIN)
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text(STRICT)
    assert takes_tools(tmp_path) is True


@pytest.mark.parametrize("config", ["", "[]", "{}", '{"chat_template": 3}'])
def test_without_a_template_nothing_is_known(config: str, tmp_path: Path) -> None:
    assert takes_tools(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text(config)
    assert takes_tools(tmp_path) is None
