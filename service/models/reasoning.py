"""Whether a base model thinks before it answers, and which of vLLM's parsers finds its thoughts.

The chat template shows it, as for tool calls: it writes a thought, or its prompt begins one. A
parser takes all text before the end of the thought for a thought. So a template in `<think>` style
counts only if each answer comes after one, which may be empty: otherwise, an answer without a
thought would be taken for one.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from service.datasets.rows.templates import THOUGHT, Thinking, rendered_thinking
from service.models.catalogue import BaseModelEntry
from service.models.parsers import Detected, Parsers

# vLLM's name of each parser, and how its models write a thought. The first match counts.
_FORMATS: Final = {
    "openai_gptoss": rf"<\|channel\|>analysis<\|message\|>{THOUGHT}",
    "gemma4": rf"<\|channel>thought\n{THOUGHT}",
    "mistral": rf"\[THINK\]{THOUGHT}\[/THINK\]",
}
_PATTERNS: Final = {parser: re.compile(pattern) for parser, pattern in _FORMATS.items()}
_THOUGHT: Final = re.compile(rf"(?P<glm><\|assistant\|>)?\s*<think>\s*{THOUGHT}\s*</think>")
_NO_THOUGHT: Final = re.compile(r"<think>\s*</think>")
# Nemotron's templates write an empty thought without line feeds, also before earlier answers.
_NEMOTRON: Final = "<think></think>"
_OPENED: Final = re.compile(r"<think>\s*\Z")


def detect_reasoning_parser(folder: Path) -> str | None:
    """Return vLLM's name of the parser for a base model's folder; None if it does not think."""
    found = rendered_thinking(folder)
    return None if found is None else _parser(found)


def _parser(found: Thinking) -> str | None:
    written = found.thought or ""
    for name, form in _PATTERNS.items():
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
        return Detected(None if found is None else _parser(found), found is not None)

    def thinks(self, entry: BaseModelEntry) -> bool | None:
        """Return whether the model thinks; None if its folder cannot be read from here."""
        return self.are_needed(entry)
