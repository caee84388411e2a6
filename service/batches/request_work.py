"""Checks one request of a batch as the gateway does, and sends it to an engine."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.batches.input_lines import BatchRequest
from service.batches.records import BatchTally
from service.batches.results import Result, ResultFile, response_line
from service.core.errors import ApiError, InternalError, TooLarge
from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError
from service.inference.background.calls import (
    Answered,
    EngineCalls,
    ModelGone,
    Question,
    SampleFailed,
)
from service.inference.gateway import refusals
from service.inference.gateway.parameters import RequestRules, check_tools
from service.inference.gateway.request_body import with_fields
from service.models.catalogue import Catalogue
from service.models.lookup import model_not_found
from service.models.parsers import ToolCallParsers
from service.models.registry import ServableModel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rules:
    """Limits and model capabilities by which the gateway checks requests."""

    catalogue: Catalogue
    tools: ToolCallParsers
    requests: RequestRules
    max_body_bytes: int


class RequestWork:
    """Answers the requests of one batch."""

    def __init__(self, endpoint: str, model: str, calls: EngineCalls, rules: Rules) -> None:
        self._endpoint = endpoint
        self._model = model
        self._calls = calls
        self._rules = rules

    async def result(self, request: BatchRequest) -> Result:
        """Return the result of a request. Raises REDIS_ERRORS and StorageError."""
        try:
            answered = await self._send(request.body)
        except ApiError as e:
            return _refused(request, e)
        except (StorageError, *REDIS_ERRORS):
            raise
        except Exception:
            log.exception("a request of a batch could not be answered")
            return _refused(request, InternalError("The service failed on this request."))
        line = response_line(request.custom_id, status=200, body=answered.body)
        return Result(request.number, ResultFile.OUTPUT, line, _tally_of(answered))

    async def _send(self, body: bytes) -> Answered:
        """Return an engine's response. Raises the ApiError that the gateway would respond with."""
        question = self._check(body)
        try:
            return await self._calls.send(self._model, question)
        except ModelGone as e:
            raise model_not_found(self._model) from e
        except SampleFailed as e:
            raise e.error or InternalError(e.message, code=e.code) from e

    def _check(self, body: bytes) -> Question:
        if len(body) > self._rules.max_body_bytes:
            raise TooLarge(
                f"The body is larger than {self._rules.max_body_bytes} bytes, the limit of this "
                "route."
            )
        request = self._rules.requests.parse(self._endpoint, body)
        if request.streamed:
            raise refusals.unsupported("stream", "The requests of a batch are answered as a whole.")

        def check_model(model: ServableModel) -> None:
            if request.offers_tools:
                check_tools(model, self._rules.catalogue, self._rules.tools)

        if fields := request.engine_fields():
            body = with_fields(body, fields)
        return Question(self._endpoint, body, request.output_limit, request.answers, check_model)


def _refused(request: BatchRequest, error: ApiError) -> Result:
    line = response_line(request.custom_id, status=error.status, body=error.body())
    return Result(request.number, ResultFile.ERROR, line, BatchTally(failed=1))


def _tally_of(answered: Answered) -> BatchTally:
    usage = answered.usage
    return BatchTally(
        completed=1,
        input_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        output_tokens=usage.completion_tokens,
        reasoning_tokens=_reasoning_tokens(answered.body.get("usage") or {}),
    )


def _reasoning_tokens(usage: Mapping[str, Any]) -> int:
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    return int(details.get("reasoning_tokens") or 0)
