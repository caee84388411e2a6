"""Judges that graders ask: models of the project, asked by a worker or with the caller's key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message

from service.core.errors import BadRequest, RateLimited
from service.evals.sampling import CHAT
from service.grading.check import check, judges
from service.grading.errors import GraderInvalid
from service.grading.model_graders import (
    EMBEDDINGS,
    Embedded,
    GraderTools,
    JudgeAnswer,
    JudgeFailed,
    PythonRunner,
    judge_failure,
    parse_embeddings,
)
from service.grading.schemas import Grader
from service.inference.background.calls import (
    Answered,
    EngineCalls,
    ModelGone,
    ModelUsage,
    SampleFailed,
)
from service.models.lookup import named_model
from service.models.registry import ModelRegistry
from service.web.browser_sessions import CREDENTIALS


async def check_grader(
    grader: Grader, param: str, project_id: str, registry: ModelRegistry
) -> None:
    """Check the grader of a parameter, and its models. Raises BadRequest and NotFound."""
    try:
        check(grader)
    except GraderInvalid as e:
        place = f"{param}.{e.param}"
        raise BadRequest(
            f"Invalid value for '{place}': {e.message}", param=place, code="invalid_grader"
        ) from e
    for place, model in judges(grader, param):
        await named_model(registry, project_id, model, place)


class RunJudge:
    """The judge of one item, asked like the models that answer. `usage` has its tokens by model."""

    def __init__(self, calls: EngineCalls) -> None:
        self._calls = calls
        self.usage: dict[str, ModelUsage] = {}

    async def __call__(
        self, model: str, messages: list[dict[str, Any]], *, params: dict[str, Any]
    ) -> JudgeAnswer:
        """Ask a model. Raises JudgeFailed."""
        limit = params.get("max_completion_tokens", params.get("max_tokens"))
        answered = await self._ask(model, CHAT, {**params, "messages": messages}, limit)
        total = answered.usage.prompt_tokens + answered.usage.completion_tokens
        return JudgeAnswer(_parse_text(answered.body), answered.model, total)

    def tools(self, sandbox: PythonRunner) -> GraderTools:
        """Return the tools of graders, with this judge."""
        return GraderTools(self, sandbox, self.embed)

    async def embed(self, model: str, texts: Sequence[str]) -> Embedded:
        """Create embeddings. Raises JudgeFailed."""
        answered = await self._ask(model, EMBEDDINGS, {"input": texts})
        return parse_embeddings(answered.body, len(texts))

    async def _ask(
        self, model: str, path: str, fields: Mapping[str, Any], limit: int | None = None
    ) -> Answered:
        try:
            answered = await self._calls.ask(model, path, fields, limit)
        except (SampleFailed, ModelGone) as e:
            error = e.error if isinstance(e, SampleFailed) else None
            raise judge_failure(e.code, error.param if error else None, e.message) from e
        known = self.usage.get(answered.model, ModelUsage())
        self.usage[answered.model] = known.plus(answered.usage)
        return answered


class _AnswerMessage(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class CallersJudge:
    """A judge that is asked through the gateway with the caller's key.

    `headers` are those of the caller's request.
    """

    def __init__(self, gateway: ASGIApp, headers: Mapping[str, str], request_id: str) -> None:
        self._gateway = gateway
        self._credentials = {n: headers[n] for n in CREDENTIALS if n in headers}
        self._request_id = request_id

    async def __call__(
        self, model: str, messages: list[dict[str, Any]], *, params: dict[str, Any]
    ) -> JudgeAnswer:
        """Ask a model. Raises JudgeFailed, and RateLimited if the caller is over a limit."""
        body = await self._ask(CHAT, {**params, "model": model, "messages": messages})
        try:
            message = msgspec.convert(body["choices"][0]["message"], _AnswerMessage)
        except (KeyError, IndexError, TypeError, msgspec.ValidationError) as e:
            text = "The engine's answer has no message."
            raise JudgeFailed("model_grader_server_error", text) from e
        if message.refusal or message.content is None:
            raise JudgeFailed("model_grader_refusal_error", "The judge refused to answer.")
        total = (body.get("usage") or {}).get("total_tokens") or 0
        return JudgeAnswer(message.content, model, total)

    async def embed(self, model: str, texts: Sequence[str]) -> Embedded:
        """Create embeddings. Raises JudgeFailed, and RateLimited if the caller is over a limit."""
        return parse_embeddings(
            await self._ask(EMBEDDINGS, {"model": model, "input": texts}), len(texts)
        )

    async def _ask(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        response = await self._post(path, msgspec.json.encode(fields))
        try:
            body = msgspec.json.decode(response.body, type=dict[str, Any])
        except msgspec.DecodeError:
            body = {"error": {"message": "The engine failed."}}
        if response.status == 200:
            return body
        error = body.get("error")
        if not isinstance(error, dict):
            error = {"message": "The engine failed."}
        message = error.get("message") or ""
        if response.status == 429:
            raise RateLimited(message, headers=response.retry_headers)
        raise judge_failure(error.get("code"), error.get("param"), message)

    async def _post(self, path: str, body: bytes) -> _Response:
        headers = {
            **self._credentials,
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
        await self._gateway(scope, _send_once(body), response.receive)
        return response


class _Response:
    """A response that an ASGI application sends."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.retry_headers: dict[str, str] = {}

    async def receive(self, message: Message) -> None:
        """Add an event of the application."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.retry_headers = {
                name.decode(): value.decode()
                for name, value in message["headers"]
                if name.startswith(b"retry-after")
            }
        else:
            self.body += message.get("body", b"")


def _send_once(body: bytes) -> Any:
    """Return an ASGI `receive` that gives the whole body, and then waits forever."""
    events = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not events:
            await asyncio.Event().wait()  # the caller does not disconnect
        return events.pop()

    return receive


def _parse_text(body: Mapping[str, Any]) -> str:
    try:
        content = body["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as e:
        raise JudgeFailed("model_grader_parse_error", "The judge's answer has no message.") from e
    if not isinstance(content, str):
        raise JudgeFailed("model_grader_refusal_error", "The judge refused to answer.")
    return content
