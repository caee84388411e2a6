"""`/v1/fine_tuning/alpha/graders`: runs and validations of a grader without an eval.

A grader that needs a model asks the gateway, with the caller's own key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.types import ASGIApp, Message

from service.core import ids
from service.core.backpressure import Slots
from service.core.errors import BadRequest, NotFound, RateLimited
from service.evals.graders_schemas import GraderRun, RunGrader, ValidatedGrader, ValidateGrader
from service.grading.check import check, judges
from service.grading.errors import GraderInvalid
from service.grading.grade import grade
from service.grading.model_graders import (
    EMBEDDINGS,
    Embedded,
    GraderTools,
    JudgeAnswer,
    JudgeFailed,
    judge_failure,
    parse_embeddings,
)
from service.grading.results import Sample
from service.grading.sandbox.sandbox import Sandbox
from service.grading.schemas import Grader
from service.models.registry import ModelRegistry
from service.web.audit_events import AuditEvent
from service.web.deps import Caller, resource
from service.web.permissions import Permission, needs

_PATH: Final = "/v1/chat/completions"


class _AnswerMessage(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _AnswerMessage


class _Usage(msgspec.Struct):
    total_tokens: int = 0


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage = msgspec.field(default_factory=_Usage)


class _Detail(msgspec.Struct):
    message: str = ""
    code: str | None = None
    param: str | None = None


class _Error(msgspec.Struct):
    error: _Detail


class CallersJudge:
    """A judge that the caller could ask as well. `headers` are those of the caller's request."""

    def __init__(self, gateway: ASGIApp, headers: Mapping[str, str], request_id: str) -> None:
        self._gateway = gateway
        self._authorization = headers.get("authorization", "")
        self._request_id = request_id

    async def __call__(
        self, model: str, messages: list[dict[str, Any]], *, params: dict[str, Any]
    ) -> JudgeAnswer:
        """Ask a model. Raises JudgeFailed, and RateLimited if the caller is over a limit."""
        answer = await self._ask(_PATH, {**params, "model": model, "messages": messages})
        try:
            completion = msgspec.json.decode(answer, type=_Completion)
            message = completion.choices[0].message
        except (msgspec.DecodeError, IndexError) as e:
            raise JudgeFailed(
                "model_grader_server_error", "The engine's answer has no message."
            ) from e
        if message.refusal or message.content is None:
            raise JudgeFailed("model_grader_refusal_error", "The judge refused to answer.")
        return JudgeAnswer(message.content, model, completion.usage.total_tokens)

    async def embed(self, model: str, texts: Sequence[str]) -> Embedded:
        """Create embeddings. Raises JudgeFailed, and RateLimited if the caller is over a limit."""
        answer = await self._ask(EMBEDDINGS, {"model": model, "input": texts})
        return parse_embeddings(msgspec.json.decode(answer), len(texts))

    async def _ask(self, path: str, fields: Mapping[str, Any]) -> bytes:
        response = await self._post(path, msgspec.json.encode(fields))
        if response.status == 429:
            raise RateLimited(_detail(response.body).message, headers=response.retry_headers)
        if response.status != 200:
            detail = _detail(response.body)
            raise judge_failure(detail.code, detail.param, detail.message)
        return response.body

    async def _post(self, path: str, body: bytes) -> _Response:
        headers = {
            "authorization": self._authorization,
            "content-type": "application/json",
            "content-length": str(len(body)),
            "x-request-id": self._request_id,
        }
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()],
        }
        response = _Response()
        await self._gateway(scope, _body_once(body), response.receive)
        return response


class _Response:
    """A response that an ASGI application sends."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.retry_headers: dict[str, str] = {}

    async def receive(self, message: Message) -> None:
        """Take an event of the application."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.retry_headers = {
                name.decode(): value.decode()
                for name, value in message["headers"]
                if name.startswith(b"retry-after")
            }
        else:
            self.body += message.get("body", b"")


def _body_once(body: bytes) -> Any:
    events = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not events:
            await asyncio.Event().wait()  # the caller stays
        return events.pop()

    return receive


def _detail(body: bytes) -> _Detail:
    try:
        return msgspec.json.decode(body, type=_Error).error
    except msgspec.DecodeError:
        return _Detail("The engine failed.")


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
