"""Whether a base model can call tools, and which of vLLM's parsers reads its calls.

A model writes a call as its chat template does in the conversations that it is trained on. So the
template is asked to write one, and the parser is chosen by what surrounds the call. A template that
does not write calls does not show the model its tools either.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from service.datasets.rows.templates import NAME, VALUE, rendered_call, takes_tools
from service.models.catalogue import BaseModelEntry
from service.models.parsers import Detected, Parsers

_JSON = rf'\{{"name": "{NAME}", "%s": \{{"word": "{VALUE}"\}}\}}'
_PYTHON = rf"\[{NAME}\(word=[\"']{VALUE}[\"']\)\]"
# vLLM's name of each parser, and how its models write a call. The first match counts.
_FORMATS: Final = {
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
_PATTERNS: Final = {parser: re.compile(pattern) for parser, pattern in _FORMATS.items()}


def detect_parser(folder: Path) -> str | None:
    """Return vLLM's name of the parser for a base model's folder; None if it calls no tools."""
    written = rendered_call(folder)
    if written is None:
        return None
    return next((name for name, form in _PATTERNS.items() if form.search(written)), None)


class ToolCallParsers(Parsers):
    """The parsers of tool calls of base models."""

    def declared(self, entry: BaseModelEntry) -> str | None:
        """Return what the catalog declares."""
        return entry.tool_call_parser

    @staticmethod
    def detect(folder: Path) -> Detected:
        """Return what the chat template in a base model's folder shows."""
        parser = detect_parser(folder)
        return Detected(parser, parser is not None or takes_tools(folder) is not None)

    def calls_tools(self, entry: BaseModelEntry) -> bool | None:
        """Return whether the model calls tools; None if its folder cannot be read from here."""
        return self.are_needed(entry)
