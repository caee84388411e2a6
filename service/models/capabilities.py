"""What a base model can do in addition to chats."""

from __future__ import annotations

from typing import Literal, Self

from service.config import Settings
from service.models.catalogue import BaseModelEntry
from service.models.reasoning import ReasoningParsers
from service.models.tools import ToolCallParsers

Capability = Literal["tools", "reasoning"]


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

    def of(self, entry: BaseModelEntry) -> list[Capability] | None:
        """Return a model's capabilities; None if its folder cannot be read from here."""
        calls_tools = self.tools.calls_tools(entry)
        if calls_tools is None:
            return None
        found: list[Capability] = ["tools"] if calls_tools else []
        return [*found, "reasoning"] if self._reasoning.thinks(entry) else found
