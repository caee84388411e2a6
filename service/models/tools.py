"""Whether a base model can call tools, and which of vLLM's parsers reads its calls.

A model writes a call as its chat template does in the conversations that it is trained on. So the
template is asked to write one, and the parser is chosen by what surrounds the call. A template that
does not write calls does not show the model its tools either.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Final

from service.datasets.rows.templates import NAME, VALUE, rendered_call, takes_tools
from service.models.catalogue import BaseModelEntry

NO_TOOLS: Final = "none"
"""In the catalog: the model does not call tools, whatever its chat template writes."""
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
_TEMPLATES: Final = (
    "additional_chat_templates/tool_use.jinja",
    "chat_template.jinja",
    "tokenizer_config.json",
)


def detect_parser(folder: Path) -> str | None:
    """Return vLLM's name of the parser for a base model's folder; None if it calls no tools."""
    written = rendered_call(folder)
    if written is None:
        return None
    return next((name for name, form in _PATTERNS.items() if form.search(written)), None)


class ToolCallParsers:
    """The parsers of tool calls of base models: as declared, or else as detected.

    `default` is the operator's choice for all models for which the catalog declares none.
    """

    def __init__(self, default: str | None = None) -> None:
        self._default = default

    def of(self, entry: BaseModelEntry) -> str | None:
        """Return vLLM's name of the model's parser, or None if the model calls no tools."""
        return self._known(entry)[0]

    def calls_tools(self, entry: BaseModelEntry) -> bool | None:
        """Return whether the model calls tools; None if its folder cannot be read from here."""
        parser, is_known = self._known(entry)
        return parser is not None if is_known else None

    def _known(self, entry: BaseModelEntry) -> tuple[str | None, bool]:
        """Return the parser, and whether it is known."""
        declared = entry.tool_call_parser or self._default
        if declared is None:
            return _detected(entry.path, _version(entry.path))
        return (None if declared == NO_TOOLS else declared), True


@functools.lru_cache(maxsize=256)
def _detected(folder: Path, _version: tuple[int, ...]) -> tuple[str | None, bool]:
    """Return the parser, and whether the template could be read."""
    parser = detect_parser(folder)
    return parser, parser is not None or takes_tools(folder) is not None


def _version(folder: Path) -> tuple[int, ...]:
    """Return when the files that can hold the template changed, in ns; 0 for a missing one."""
    return tuple(_changed(folder / name) for name in _TEMPLATES)


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
