"""Samples (answers of models) and the results of graders on them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Self

from service.grading.errors import GraderError
from service.grading.schemas import (
    ChrfGrader,
    Grader,
    MultiGrader,
    PythonGrader,
    ScoreModelGrader,
    TextSimilarityGrader,
)


@dataclass(frozen=True)
class LabelPair:
    """An expected and a given label. `given` is None if the answer is not one of the labels."""

    expected: str
    given: str | None


@dataclass(frozen=True)
class GraderResult:
    """The result of one grader on one item.

    An item that cannot be graded has errors, the score 0 and has not passed. `sub_scores` are the
    scores of a multi grader's graders; `sample` is the judge's raw answer; `tokens` are the judge's
    tokens by model. `labels` are those of a `label` grader, or a person's and the judge's.
    """

    score: float
    passed: bool
    errors: tuple[GraderError, ...] = ()
    sub_scores: dict[str, float] = field(default_factory=dict)
    sample: dict[str, Any] | None = None
    tokens: dict[str, int] = field(default_factory=dict)
    duration_s: float = 0.0
    labels: LabelPair | None = None


def pass_threshold(grader: Grader) -> float:
    """Return the lowest score that passes. Scores on a scale pass at its middle by default."""
    given: float | None = getattr(grader, "pass_threshold", None)
    if given is not None:
        return given
    match grader:
        case ScoreModelGrader():
            return sum(grader.bounds) / 2
        case TextSimilarityGrader() | PythonGrader() | MultiGrader() | ChrfGrader():
            return 0.5
        case _:
            return 1.0


@dataclass(frozen=True)
class Sample:
    """An answer of a model, sampled or given. Tool calls have the shape of chat completions."""

    output_text: str
    output_json: Any | None = None
    tool_calls: list[dict[str, Any]] | None = None
    model: str | None = None
    finish_reason: str | None = None

    @classmethod
    def from_text(
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
