"""Samples answers with chat completions or responses, and parses answers of either API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from service.evals.data_sources import (
    DEFAULT_SEED,
    DEFAULT_TEMPERATURE,
    DEFAULT_TOP_P,
    CompletionsDataSource,
    CompletionsSamplingParams,
    ResponsesSamplingParams,
    SampledDataSource,
)
from service.evals.prompts import Message
from service.grading.results import Sample, parse_json
from service.inference.background.calls import Answered, EngineCalls, ModelUsage, SampleFailed

CHAT: Final = "/v1/chat/completions"
RESPONSES: Final = "/v1/responses"
_USAGE: Final = ("prompt_tokens", "completion_tokens")
_UNUSABLE: Final = SampleFailed("engine_error", "The engine's answer has no message.")


@dataclass(frozen=True)
class Sampled:
    """An answer, sampled or given, with the model that gave it and its usage."""

    sample: Sample | None = None
    model: str = ""
    usage: ModelUsage = field(default_factory=ModelUsage)
    seconds: float | None = None


class Sampler:
    """Samples the answers of one run."""

    def __init__(self, source: SampledDataSource, model: str, calls: EngineCalls) -> None:
        self._model = model
        self._calls = calls
        self._is_chat = isinstance(source, CompletionsDataSource)
        self._fields = (
            _chat_fields(source.sampling_params)
            if isinstance(source, CompletionsDataSource)
            else _response_fields(source.sampling_params)
        )
        params = source.sampling_params
        self._max_tokens = params.max_completion_tokens if params else None

    async def sample(self, messages: Sequence[Message]) -> Sampled:
        """Sample an answer. Raises SampleFailed and ModelGone."""
        path = CHAT if self._is_chat else RESPONSES
        asked = {"messages": messages} if self._is_chat else {"input": _response_items(messages)}
        answered = await self._calls.ask(
            self._model, path, {**self._fields, **asked}, self._max_tokens
        )
        sample = parse_chat(answered) if self._is_chat else parse_response(answered)
        return Sampled(sample, answered.model, answered.usage, answered.seconds)


def given_answer(given: Mapping[str, Any]) -> Sampled:
    """Return the answer that a row gives. A stored one has its usage, which the run did not use."""
    counts = {
        name: n for name in _USAGE if isinstance(n := _object(given.get("usage")).get(name), int)
    }
    return Sampled(parse_given_sample(given), usage=ModelUsage(**counts))


def parse_given_sample(given: Mapping[str, Any]) -> Sample:
    """Return the answer that a row gives: the `sample` namespace, or only a part of it."""
    choice = _first(given.get("choices"))
    message = _object(choice.get("message"))
    text = given.get("output_text", message.get("content"))
    if not isinstance(text, str):
        has_json = given.get("output_json") is not None
        text = json.dumps(given["output_json"], ensure_ascii=False) if has_json else ""
    output = given.get("output_json")
    return Sample(
        output_text=text,
        output_json=parse_json(text) if output is None else output,
        tool_calls=_calls(given.get("output_tools", message.get("tool_calls"))),
        model=_text(given.get("model")),
        finish_reason=_text(given.get("finish_reason", choice.get("finish_reason"))),
    )


def _chat_fields(params: CompletionsSamplingParams | None) -> dict[str, Any]:
    params = params or CompletionsSamplingParams()
    return given_fields(
        **_common(params),
        max_completion_tokens=params.max_completion_tokens,
        reasoning_effort=params.reasoning_effort,
        response_format=params.response_format,
        tools=params.tools,
    )


def _response_fields(params: ResponsesSamplingParams | None) -> dict[str, Any]:
    params = params or ResponsesSamplingParams()
    effort = params.reasoning_effort
    return given_fields(
        **_common(params),
        store=False,
        max_output_tokens=params.max_completion_tokens,
        reasoning=None if effort is None else {"effort": effort},
        text=params.text,
        tools=params.tools,
    )


def _common(params: CompletionsSamplingParams | ResponsesSamplingParams) -> dict[str, Any]:
    """Return the parameters with OpenAI's defaults, which the output items report."""
    return {
        "temperature": DEFAULT_TEMPERATURE if params.temperature is None else params.temperature,
        "top_p": DEFAULT_TOP_P if params.top_p is None else params.top_p,
        "seed": DEFAULT_SEED if params.seed is None else params.seed,
    }


def _response_items(messages: Sequence[Message]) -> list[Message]:
    """Return the items of a response's input. Calls of tools and their results are items there."""
    items: list[Message] = []
    for message in messages:
        calls = message.get("tool_calls") or ()
        if message["role"] == "tool":
            items.append(
                {
                    "type": "function_call_output",
                    "call_id": message.get("tool_call_id"),
                    "output": message.get("content") or "",
                }
            )
        elif message.get("content") or not calls:
            kept = {name: value for name, value in message.items() if name != "tool_calls"}
            items.append(kept)
        items += [
            {"type": "function_call", "call_id": call.get("id"), **_object(call.get("function"))}
            for call in calls
        ]
    return items


def given_fields(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def parse_chat(answered: Answered) -> Sample:
    """Return the answer in a chat completion. Raises SampleFailed."""
    choice = _first(answered.body.get("choices"))
    message = choice.get("message")
    if not isinstance(message, dict):
        raise _UNUSABLE
    return Sample.from_text(
        message.get("content") or "",
        tool_calls=_calls(message.get("tool_calls")),
        model=answered.model,
        finish_reason=choice.get("finish_reason"),
    )


def parse_response(answered: Answered) -> Sample:
    """Return the answer in a response of the Responses API. Raises SampleFailed."""
    output = answered.body.get("output")
    if not isinstance(output, list):
        raise _UNUSABLE
    texts, calls = [], []
    for part in output:
        if part.get("type") == "message":
            texts += [piece.get("text") or "" for piece in part.get("content") or ()]
        elif part.get("type") == "function_call":
            function = {"name": part.get("name"), "arguments": part.get("arguments")}
            calls.append({"id": part.get("call_id"), "type": "function", "function": function})
    whole = "tool_calls" if calls else "stop"
    return Sample.from_text(
        "".join(texts),
        tool_calls=calls or None,
        model=answered.model,
        finish_reason="length" if answered.body.get("status") == "incomplete" else whole,
    )


def _first(choices: Any) -> dict[str, Any]:
    return _object(choices[0]) if isinstance(choices, list) and choices else {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _calls(given: Any) -> list[dict[str, Any]] | None:
    calls = [call for call in given if isinstance(call, dict)] if isinstance(given, list) else []
    return calls or None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
