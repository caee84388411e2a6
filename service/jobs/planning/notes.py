"""What the planning of a job says: sentences with codes, so that clients can word them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

REASONS: Final = frozenset(
    {"rows", "rows_and_length", "unmeasured", "longest_row", "longest_row_limited"}
    | {"shared_length", "model_size", "model_size_unknown"}
)
"""Codes of the reasons for a parameter's value."""


@dataclass(frozen=True)
class Note:
    """A sentence, with a code and figures if clients can word it. A reason has its `parameter`."""

    text: str
    code: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    parameter: str | None = None

    @property
    def data(self) -> dict[str, Any]:
        """Data of the event with this sentence."""
        if self.code is None:
            return {}
        if self.parameter is None:
            return {"code": self.code, **self.figures}
        given = {"parameter": self.parameter, "reason": self.code}
        return {"code": "setting", **given, **self.figures}


def reason(parameter: str, value: object, text: str, code: str, **figures: Any) -> Note:
    """Return the reason for the value of a parameter that was `auto`."""
    return because(parameter, "auto", value, text, code, **figures)


def because(
    parameter: str, before: object, value: object, text: str, code: str, **figures: Any
) -> Note:
    """Return the reason for the value of a parameter that was another one."""
    words = f"{parameter} {before} → {value}: {text}"
    return Note(words, code, {"value": value, **figures}, parameter)
