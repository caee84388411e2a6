"""`/v1/fine_tuning/alpha/graders`: runs and validations of a grader without an eval."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request

from service.core import ids
from service.core.backpressure import Slots
from service.core.errors import BadRequest, NotFound, RateLimited
from service.evals.graders_judge import CallersJudge
from service.evals.graders_schemas import GraderRun, RunGrader, ValidatedGrader, ValidateGrader
from service.grading.check import check, judges
from service.grading.grade import grade
from service.grading.model_graders import GraderTools
from service.grading.results import GraderInvalid, Sample
from service.grading.sandbox.sandbox import Sandbox
from service.grading.schemas import Grader
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs

router = APIRouter(prefix="/v1/fine_tuning/alpha/graders", tags=["Graders"])
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]


# Each run may start a child with up to 512 MiB of memory.
MOST_RUNS: Final = 8
MOST_RUNS_PER_PROJECT: Final = 2


def running_graders() -> Slots:
    """Return the slots of an API process for runs of graders. A run never waits for one."""

    def refusal() -> RateLimited:
        return RateLimited(
            f"Too many graders run at the moment; a project may run {MOST_RUNS_PER_PROJECT}. Try "
            f"again in a second, or create an eval, which grades many items.",
            code="too_many_graders",
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
    await _check(body.grader, caller.project_id, registry)
    judge = CallersJudge(request.app.gateway, request.headers, _request_id(request))
    sample = Sample.from_text(body.model_sample)
    async with running.one(caller.project_id), Sandbox() as sandbox:
        tools = GraderTools(judge, sandbox, judge.embed)
        result = await grade(body.grader, body.item or {}, sample, tools)
    return GraderRun.of(body.grader, result)


@router.post(
    "/validate",
    operation_id="validateGrader",
    summary="Validate a grader",
    openapi_extra=needs(Permission.EVALS_READ),
)
async def validate(body: ValidateGrader, caller: Caller, registry: Registry) -> ValidatedGrader:
    """Check a grader's templates, formula, source, labels, schema and models."""
    await _check(body.grader, caller.project_id, registry)
    return ValidatedGrader(grader=body.grader)


async def _check(grader: Grader, project_id: str, registry: ModelRegistry) -> None:
    """Check a grader and its models. Raises BadRequest and NotFound."""
    try:
        check(grader)
    except GraderInvalid as e:
        param = f"grader.{e.param}"
        raise BadRequest(
            f"Invalid value for '{param}': {e.message}", param=param, code="invalid_grader"
        ) from e
    for param, model in judges(grader, "grader"):
        if await registry.resolve(project_id, model) is None:
            raise NotFound(
                f"The model '{model}' does not exist or you do not have access to it.",
                param=param,
                code="model_not_found",
            )


def _request_id(request: Request) -> str:
    return getattr(request.state, "request_id", None) or ids.request_id()
