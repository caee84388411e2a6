"""The judge of a request to run a grader: the gateway, asked with the caller's own key.

Nothing else resolves models, limits the caller, or counts the tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.types import ASGIApp, Message

from service.core.errors import RateLimited
from service.grading.model_graders import (
    EMBEDDINGS,
    Embedded,
    JudgeAnswer,
    JudgeFailed,
    judge_failure,
    parse_embeddings,
)

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
