"""`/v1/fine_tuning/alpha/graders`: runs and validates a grader without an eval, as OpenAI does."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.core import ids
from service.core.backpressure import Slots
from service.core.errors import RateLimited
from service.evals.judge import CallersJudge, check_grader
from service.grading.errors import GraderError
from service.grading.grade import grade
from service.grading.model_graders import GraderTools
from service.grading.results import GraderResult, Sample
from service.grading.sandbox.sandbox import Sandbox
from service.grading.schemas import Grader
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs

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


router = APIRouter(prefix="/v1/fine_tuning/alpha/graders", tags=["Graders"])
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]


# Each run may start a child with up to 512 MiB of memory.
MOST_RUNS: Final = 8
MOST_RUNS_PER_PROJECT: Final = 2


def running_graders() -> Slots:
    """Return the slots of an API process for runs of graders. A run without a slot is refused."""

    def refusal() -> RateLimited:
        return RateLimited(
            f"Too many graders run at the moment; a project may run {MOST_RUNS_PER_PROJECT}. Try "
            "again in a second, or create an eval, which grades many items.",
            code="limit_reached",
        )

    return Slots(MOST_RUNS, refusal, most_per_owner=MOST_RUNS_PER_PROJECT, wait_s=0)


Running = Annotated[Slots, Depends(resource("running_graders"))]


@router.post(
    "/run",
    operation_id="runGrader",
    summary="Run a grader",
    openapi_extra=needs(Permission.EVALS_WRITE, AuditEvent.GRADER_RUN),
)
async def run(
    request: Request, body: RunGrader, caller: Caller, registry: Registry, running: Running
) -> GraderRun:
    """Grade one answer. A failure to grade it is an error in the response's metadata.

    Judges are asked with the caller's key and count as its requests.
    """
    await check_grader(body.grader, "grader", caller.project_id, registry)
    judge = CallersJudge(request.app.gateway, request.headers, _request_id(request))
    sample = Sample.from_text(body.model_sample)
    async with running.hold(caller.project_id), Sandbox() as sandbox:
        tools = GraderTools(judge, sandbox, judge.embed)
        result = await grade(body.grader, body.item or {}, sample, tools)
    return GraderRun.from_result(body.grader, result)


@router.post(
    "/validate",
    operation_id="validateGrader",
    summary="Validate a grader",
    openapi_extra=needs(Permission.EVALS_READ),
)
async def validate(body: ValidateGrader, caller: Caller, registry: Registry) -> ValidatedGrader:
    """Check a grader's templates, formula, source, labels, schema and models."""
    await check_grader(body.grader, "grader", caller.project_id, registry)
    return ValidatedGrader(grader=body.grader)


def _request_id(request: Request) -> str:
    return getattr(request.state, "request_id", None) or ids.request_id()
