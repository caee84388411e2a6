"""`/v1/fine_tuning/alpha/graders`: runs and validations of a grader without an eval."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request

from service.core import ids
from service.core.errors import BadRequest, NotFound, RateLimited
from service.evals.graders_judge import CallersJudge
from service.evals.graders_schemas import GraderRun, RunGrader, ValidatedGrader, ValidateGrader
from service.grading.check import check
from service.grading.errors import GraderInvalid
from service.grading.grade import GraderTools, Sample, grade
from service.grading.sandbox.sandbox import Sandbox
from service.grading.schemas import (
    Grader,
    LabelModelGrader,
    MultiGrader,
    ScoreModelGrader,
)
from service.models.registry import ModelRegistry
from service.web.deps import Caller, resource

router = APIRouter(prefix="/v1/fine_tuning/alpha/graders", tags=["Graders"])
Registry = Annotated[ModelRegistry, Depends(resource("registry"))]


class RunningGraders:
    """Counts of the runs in this process. Each may start a child with up to 512 MiB of memory."""

    per_project: Final = 2
    in_all: Final = 8

    def __init__(self) -> None:
        self._running: dict[str, int] = {}

    @contextmanager
    def one(self, project_id: str) -> Iterator[None]:
        """Count a run of the project during a block. Raises RateLimited."""
        mine = self._running.get(project_id, 0)
        if mine >= self.per_project or sum(self._running.values()) >= self.in_all:
            raise RateLimited(
                f"Too many graders run at the moment; a project may run {self.per_project}. Try "
                f"again in a second, or create an eval, which grades many items.",
                code="too_many_graders",
            )
        self._running[project_id] = mine + 1
        try:
            yield
        finally:
            self._running[project_id] -= 1
            if not self._running[project_id]:
                del self._running[project_id]


Running = Annotated[RunningGraders, Depends(resource("running_graders"))]


@router.post("/run", operation_id="runGrader", summary="Run a grader")
async def run(
    request: Request, body: RunGrader, caller: Caller, registry: Registry, running: Running
) -> GraderRun:
    """Grade one answer. A failure to grade it is an error in the response's metadata.

    Judges are asked with the caller's key and count as its requests.
    """
    await _check(body.grader, caller.project_id, registry)
    judge = CallersJudge(request.app.gateway, request.headers, _request_id(request))
    sample = Sample.of(body.model_sample)
    with running.one(caller.project_id):
        async with Sandbox() as sandbox:
            tools = GraderTools(judge, sandbox)
            result = await grade(body.grader, body.item or {}, sample, tools)
    return GraderRun.of(body.grader, result)


@router.post("/validate", operation_id="validateGrader", summary="Validate a grader")
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
    for param, model in _models(grader, "grader"):
        if await registry.resolve(project_id, model) is None:
            raise NotFound(
                f"The model '{model}' does not exist or you do not have access to it.",
                param=param,
                code="model_not_found",
            )


def _models(grader: Grader, param: str) -> Iterator[tuple[str, str]]:
    """Yield the judges of a grader, each with the path of its name."""
    if isinstance(grader, (LabelModelGrader, ScoreModelGrader)):
        yield f"{param}.model", grader.model
    elif isinstance(grader, MultiGrader):
        for name, part in grader.named.items():
            yield from _models(part, f"{param}.graders.{name}")


def _request_id(request: Request) -> str:
    return getattr(request.state, "request_id", None) or ids.request_id()
