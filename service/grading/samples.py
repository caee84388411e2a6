"""The answer that a grader grades."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Sample:
    """An answer of a model, sampled or given. Tool calls have the shape of chat completions."""

    output_text: str
    output_json: Any | None = None
    tool_calls: list[dict[str, Any]] | None = None
    model: str | None = None
    finish_reason: str | None = None

    @classmethod
    def of(
        cls,
        text: str,
        *,
        tool_calls: list[dict[str, Any]] | None = None,
        model: str | None = None,
        finish_reason: str | None = None,
    ) -> Self:
        """Build a sample from a text, which is parsed if it is JSON."""
        return cls(text, parse_json(text), tool_calls, model, finish_reason)

    def scope(self) -> dict[str, Any]:
        """Return the `sample` namespace of templates. `output_json` is absent without JSON."""
        message: dict[str, Any] = {"role": "assistant", "content": self.output_text}
        if self.tool_calls:
            message["tool_calls"] = self.tool_calls
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        scope: dict[str, Any] = {
            "output_text": self.output_text,
            "output_tools": self.tool_calls or [],
            "choices": [choice],
            "model": self.model,
            "finish_reason": self.finish_reason,
        }
        return scope if self.output_json is None else {**scope, "output_json": self.output_json}


def parse_json(text: str) -> Any | None:
    """Parse a JSON text. Returns None if it is not JSON, or nested too deeply to parse."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
