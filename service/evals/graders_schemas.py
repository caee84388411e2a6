"""`/v1/fine_tuning/alpha/graders` on the wire, in OpenAI's shapes."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.grading.errors import GraderError
from service.grading.results import GraderResult
from service.grading.schemas import Grader

MAX_SAMPLE_CHARS = 500_000
# `model_…` is OpenAI's naming, and not pydantic's.
_OPENAI_NAMES = ConfigDict(protected_namespaces=())


class RunGrader(BaseModel):
    """Request body to run a grader."""

    model_config = ConfigDict(extra="forbid", strict=True, protected_namespaces=())

    grader: Grader = Field(description="Grader to run.")
    model_sample: Annotated[str, StringConstraints(max_length=MAX_SAMPLE_CHARS)] = Field(
        description="Answer to grade. It fills the `sample` namespace; `output_json` is set if it "
        "is JSON.",
        examples=["fuzzy wuzzy was a bear"],
    )
    item: dict[str, Any] | None = Field(
        default=None,
        description="Row of the data source. It fills the `item` namespace.",
        examples=[{"reference_answer": "fuzzy wuzzy was a bear"}],
    )


class ValidateGrader(BaseModel):
    """Request body to validate a grader."""

    model_config = ConfigDict(extra="forbid", strict=True)

    grader: Grader = Field(description="Grader to validate.")


class ValidatedGrader(BaseModel):
    """A valid grader."""

    grader: Grader = Field(description="Grader as given, with its defaults filled in.")


class GraderRunErrors(BaseModel):
    """Errors of a run of a grader. All are false if the answer was graded."""

    model_config = _OPENAI_NAMES

    formula_parse_error: bool = Field(
        default=False, description="Whether the formula of a multi grader is not arithmetic."
    )
    sample_parse_error: bool = Field(
        default=False, description="Whether a template needs JSON and the answer is not JSON."
    )
    truncated_observation_error: bool = Field(
        default=False, description="Flag of OpenAI's API that is always false."
    )
    unresponsive_reward_error: bool = Field(
        default=False, description="Flag of OpenAI's API that is always false."
    )
    invalid_variable_error: bool = Field(
        default=False, description="Whether a template variable has no value."
    )
    other_error: bool = Field(default=False, description="Whether another error occurred.")
    python_grader_server_error: bool = Field(
        default=False, description="Whether the sandbox of Python graders failed."
    )
    python_grader_server_error_type: str | None = Field(
        default=None, description="Message of the sandbox's failure."
    )
    python_grader_runtime_error: bool = Field(
        default=False, description="Whether the Python source failed."
    )
    python_grader_runtime_error_details: str | None = Field(
        default=None, description="Message of the Python source's failure, with its line."
    )
    model_grader_server_error: bool = Field(
        default=False, description="Whether the judge's engine failed."
    )
    model_grader_refusal_error: bool = Field(
        default=False, description="Whether the judge refused to answer."
    )
    model_grader_parse_error: bool = Field(
        default=False, description="Whether the judge's answer could not be used."
    )
    model_grader_server_error_details: str | None = Field(
        default=None, description="Message of the engine's failure."
    )
    messages: list[str] = Field(
        default_factory=list,
        description="Messages of all errors. Not part of OpenAI's API.",
    )

    @classmethod
    def from_errors(cls, errors: tuple[GraderError, ...]) -> Self:
        """Build the flags and messages of a result's errors."""
        fields: dict[str, Any] = {"messages": [error.message for error in errors]}
        for error in errors:
            fields[error.code] = True
            if error.code == "python_grader_runtime_error":
                fields["python_grader_runtime_error_details"] = error.message
            elif error.code == "python_grader_server_error":
                fields["python_grader_server_error_type"] = error.message
            elif error.code == "model_grader_server_error":
                fields["model_grader_server_error_details"] = error.message
        return cls(**fields)


class GraderRunMetadata(BaseModel):
    """Metadata of a grader's run."""

    name: str = Field(description="Name of the grader.")
    type: str = Field(description="Type of the grader.")
    errors: GraderRunErrors = Field(description="Errors of the run.")
    execution_time: float = Field(description="Time that the run took, in seconds.")
    scores: dict[str, float] = Field(description="Scores by grader, for a multi grader.")
    token_usage: int | None = Field(
        description="Number of tokens of all judges. Null if no judge was asked."
    )
    sampled_model_name: str | None = Field(
        description="Model that judged. Null if there was none or several."
    )


class GraderRun(BaseModel):
    """Result of a run of a grader."""

    model_config = _OPENAI_NAMES

    reward: float = Field(description="Score of the answer. 0 if it could not be graded.")
    sub_rewards: dict[str, float] = Field(
        description="Scores by grader, for a multi grader. Empty for others."
    )
    metadata: GraderRunMetadata = Field(description="Metadata of the run.")
    model_grader_token_usage_per_model: dict[str, int] = Field(
        description="Number of tokens by judge."
    )

    @classmethod
    def from_result(cls, grader: Grader, result: GraderResult) -> Self:
        """Build the response from a result."""
        models = list(result.tokens)
        return cls(
            reward=result.score,
            sub_rewards=result.sub_scores,
            metadata=GraderRunMetadata(
                name=grader.name,
                type=grader.type,
                errors=GraderRunErrors.from_errors(result.errors),
                execution_time=result.duration_s,
                scores=result.sub_scores,
                token_usage=sum(result.tokens.values()) if models else None,
                sampled_model_name=models[0] if len(models) == 1 else None,
            ),
            model_grader_token_usage_per_model=result.tokens,
        )
