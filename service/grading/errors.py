"""Errors of a grader's definition, and of grading one item.

The sandbox imports this module, so it imports nothing of the service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ErrorCode = Literal[
    "formula_parse_error",
    "sample_parse_error",
    "truncated_observation_error",
    "unresponsive_reward_error",
    "invalid_variable_error",
    "other_error",
    "python_grader_server_error",
    "python_grader_runtime_error",
    "model_grader_server_error",
    "model_grader_refusal_error",
    "model_grader_parse_error",
]
"""Fields of `metadata.errors` in OpenAI's response to a run of a grader."""


class GraderInvalid(ValueError):
    """The grader's definition is unusable. `param` is the path of the field in the grader."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param
        self.message = message


@dataclass(frozen=True)
class GraderError:
    """Reason why one item could not be graded."""

    code: ErrorCode
    message: str


class ItemFailed(Exception):
    """One item cannot be graded. `grade` turns it into a result with an error."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.error = GraderError(code, message)
