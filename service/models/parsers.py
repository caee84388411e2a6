"""Chooses vLLM's parsers of tool calls and reasoning for base models, and lists their capabilities.

A parser is declared in the catalog, set by the operator, or detected from the chat template, which
is rendered with a tool call and reasoning: the text around them decides. A template that does not
write calls does not show tools to the model either.

Reasoning parsers treat all text before the end of the reasoning as reasoning. So a template in
`<think>` style counts only if each answer follows a reasoning block, which may be empty: otherwise,
an answer without reasoning would be parsed as reasoning.
"""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, Literal, NamedTuple, Self

from service.config import Settings
from service.datasets.chat_templates import (
    NAME,
    THOUGHT,
    VALUE,
    Thinking,
    rendered_call,
    rendered_thinking,
    takes_tools,
)
from service.models.catalogue import BaseModelEntry

NO_PARSER: Final = "none"
"""Value in the catalog and the settings that turns parsing off."""
_TEMPLATES: Final = (
    "additional_chat_templates/tool_use.jinja",
    "chat_template.jinja",
    "tokenizer_config.json",
)
_JSON = rf'\{{"name": "{NAME}", "%s": \{{"word": "{VALUE}"\}}\}}'
_PYTHON = rf"\[{NAME}\(word=[\"']{VALUE}[\"']\)\]"
# vLLM's name of each parser, and how its models write a call. The first match counts.
_CALL_FORMATS: Final = {
    "hermes": rf"<tool_call>\s*{_JSON % 'arguments'}\s*</tool_call>",
    "qwen3_coder": rf"<tool_call>\s*<function={NAME}>\s*<parameter=word>\s*{VALUE}\s*</parameter>",
    "glm45": rf"<tool_call>{NAME}\s*<arg_key>word</arg_key>\s*<arg_value>{VALUE}</arg_value>",
    "mistral": rf'\[TOOL_CALLS\]\s*(\[\{{"name": "{NAME}"|{NAME}(\[ARGS\])?\{{)',
    "openai": rf"to=functions\.{NAME}<\|channel\|>commentary",
    "gemma4": rf"<\|tool_call>call:{NAME}\{{",
    "lfm2": rf"<\|tool_call_start\|>{_PYTHON}<\|tool_call_end\|>",
    "phi4_mini_json": rf"functools\[{_JSON % 'arguments'}\]",
    "llama3_json": rf"(?<!\[){_JSON % 'parameters'}",
    "pythonic": _PYTHON,
}
_CALL_PATTERNS: Final = {parser: re.compile(pattern) for parser, pattern in _CALL_FORMATS.items()}
# With this parser, an engine starts only if the tokenizer has this token. Llama 3.0's lacks it.
_NEEDED_TOKENS: Final = {"llama3_json": "<|python_tag|>"}
# vLLM's name of each parser, and how its models write a thought. The first match counts.
_REASONING_FORMATS: Final = {
    "openai_gptoss": rf"<\|channel\|>analysis<\|message\|>{THOUGHT}",
    "gemma4": rf"<\|channel>thought\n{THOUGHT}",
    "mistral": rf"\[THINK\]{THOUGHT}\[/THINK\]",
}
_REASONING_PATTERNS: Final = {
    parser: re.compile(pattern) for parser, pattern in _REASONING_FORMATS.items()
}
_THOUGHT: Final = re.compile(rf"(?P<glm><\|assistant\|>)?\s*<think>\s*{THOUGHT}\s*</think>")
_NO_THOUGHT: Final = re.compile(r"<think>\s*</think>")
# Nemotron's templates write an empty thought without line feeds, also before earlier answers.
_NEMOTRON: Final = "<think></think>"
_OPENED: Final = re.compile(r"<think>\s*\Z")
Capability = Literal["tools", "reasoning"]


class Detected(NamedTuple):
    """vLLM's name of a parser, if the model needs one, and whether its template could be read."""

    parser: str | None
    is_known: bool


class Parsers(ABC):
    """Parsers of one kind.

    `default` is the operator's choice for all models for which the catalog declares none.
    """

    def __init__(self, default: str | None = None) -> None:
        self._default = default

    @abstractmethod
    def declared(self, entry: BaseModelEntry) -> str | None:
        """Return what the catalog declares."""

    @staticmethod
    @abstractmethod
    def detect(folder: Path) -> Detected:
        """Return what the chat template in a base model's folder shows."""

    def choose(self, entry: BaseModelEntry) -> str | None:
        """Return vLLM's name of the model's parser, or None if it needs none."""
        return self._known(entry).parser

    def are_needed(self, entry: BaseModelEntry) -> bool | None:
        """Return whether the model needs a parser; None if its folder cannot be read from here."""
        found = self._known(entry)
        return found.parser is not None if found.is_known else None

    def _known(self, entry: BaseModelEntry) -> Detected:
        declared = self.declared(entry) or self._default
        if declared is None:
            return _detected(type(self), entry.path, _version(entry.path))
        return Detected(None if declared == NO_PARSER else declared, True)


@functools.lru_cache(maxsize=256)
def _detected(kind: type[Parsers], folder: Path, _version: tuple[int, ...]) -> Detected:
    return kind.detect(folder)


def _version(folder: Path) -> tuple[int, ...]:
    """Return when the files that can hold the template changed, in ns; 0 for a missing one."""
    return tuple(_changed(folder / name) for name in _TEMPLATES)


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def detect_tool_call_parser(folder: Path) -> str | None:
    """Return vLLM's name of the parser for a base model's folder; None if it calls no tools."""
    written = rendered_call(folder)
    if written is None:
        return None
    found = next((name for name, form in _CALL_PATTERNS.items() if form.search(written)), None)
    return found if found is None or _has_token(folder, _NEEDED_TOKENS.get(found, "")) else None


def _has_token(folder: Path, token: str) -> bool:
    try:
        return token.encode() in (folder / "tokenizer.json").read_bytes()
    except OSError:
        return True  # another check says what is wrong with the folder


class ToolCallParsers(Parsers):
    """The parsers of tool calls of base models."""

    def declared(self, entry: BaseModelEntry) -> str | None:
        """Return what the catalog declares."""
        return entry.tool_call_parser

    @staticmethod
    def detect(folder: Path) -> Detected:
        """Return what the chat template in a base model's folder shows."""
        parser = detect_tool_call_parser(folder)
        return Detected(parser, parser is not None or takes_tools(folder) is not None)


def detect_reasoning_parser(folder: Path) -> str | None:
    """Return vLLM's name of the parser for a base model's folder; None if it does not think."""
    found = rendered_thinking(folder)
    return None if found is None else _reasoning_parser(found)


def _reasoning_parser(found: Thinking) -> str | None:
    written = found.thought or ""
    for name, form in _REASONING_PATTERNS.items():
        if form.search(written):
            return name
    is_opened = _OPENED.search(found.prompt) is not None
    thought = _THOUGHT.search(written)
    if thought is None:
        return "deepseek_r1" if is_opened else None
    if not is_opened and not _NO_THOUGHT.search(found.answer):
        return None
    if thought["glm"]:
        return "glm45"
    return "nemotron_v3" if _NEMOTRON in found.history else "qwen3"


class ReasoningParsers(Parsers):
    """The parsers of thoughts of base models."""

    def declared(self, entry: BaseModelEntry) -> str | None:
        """Return what the catalog declares."""
        return entry.reasoning_parser

    @staticmethod
    def detect(folder: Path) -> Detected:
        """Return what the chat template in a base model's folder shows."""
        found = rendered_thinking(folder)
        return Detected(None if found is None else _reasoning_parser(found), found is not None)


class Capabilities:
    """The capabilities of base models, as declared in the catalog or shown by their templates."""

    def __init__(self, tools: ToolCallParsers, reasoning: ReasoningParsers) -> None:
        self.tools = tools
        self._reasoning = reasoning

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Capabilities with the parsers that the operator chose."""
        return cls(
            ToolCallParsers(settings.tool_call_parser),
            ReasoningParsers(settings.reasoning_parser),
        )

    def find(self, entry: BaseModelEntry) -> list[Capability] | None:
        """Return a model's capabilities; None if its folder cannot be read from here."""
        calls_tools = self.tools.are_needed(entry)
        if calls_tools is None:
            return None
        found: list[Capability] = ["tools"] if calls_tools else []
        return [*found, "reasoning"] if self._reasoning.are_needed(entry) else found
