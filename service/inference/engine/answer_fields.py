"""Changes vLLM 0.32's answers to OpenAI's fields, and its chat inputs to those of trainings.

Answers have no fields that vLLM adds. vLLM serializes them with pydantic, which is configured to
omit fields. So no answer is decoded again, here or in the gateway, and most become shorter. What a
request asks for (`return_token_ids`, `prompt_logprobs`, `return_prompt_text`) stays.

Chats reach the chat template as in training:

- Several parts of text become one. Templates that read parts write them without anything in
  between, or drop all but the first.
- Messages of the role `developer` become system messages at the beginning. vLLM does this only
  after it has converted the contents, and not for templates that know the role.
- The template is the tokenizer's, with and without tools. Without tools, vLLM would prefer that of
  the processor of images.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, NamedTuple

from openai.types import (
    Completion,
    CompletionChoice,
    CreateEmbeddingResponse,
    completion_usage,
)
from openai.types.chat import chat_completion, chat_completion_chunk, chat_completion_message
from openai.types.responses import (
    Response,
    ResponseIncompleteEvent,
    ResponseTextConfig,
    ToolChoiceAllowed,
    response_usage,
)
from openai.types.shared import ResponseFormatText
from vllm.entrypoints.openai.chat_completion import protocol as chat
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.openai.completion import protocol as completion
from vllm.entrypoints.openai.completion import serving as completion_serving
from vllm.entrypoints.openai.responses import protocol as responses
from vllm.entrypoints.openai.responses.serving import OpenAIServingResponses
from vllm.entrypoints.pooling.embed import protocol as embed
from vllm.entrypoints.pooling.embed import serving as embed_serving
from vllm.entrypoints.serve.engine import protocol as usage
from vllm.renderers import chat_utils, hf
from vllm.utils import random_uuid

from service.chat_content import join_text_parts, join_texts, merge_system_messages

# vLLM's answers, and OpenAI's, in the order in which vLLM's contain each other: a model copies the
# schemas in it. Other fields than OpenAI's are left out, except for those below.
_OPENAI: Final[dict[Any, Any]] = {
    usage.PromptTokenUsageInfo: completion_usage.PromptTokensDetails,
    usage.UsageInfo: completion_usage.CompletionUsage,
    chat.ChatMessage: chat_completion_message.ChatCompletionMessage,
    chat.ChatCompletionResponseChoice: chat_completion.Choice,
    chat.ChatCompletionResponse: chat_completion.ChatCompletion,
    chat.ChatCompletionResponseStreamChoice: chat_completion_chunk.Choice,
    chat.ChatCompletionStreamResponse: chat_completion_chunk.ChatCompletionChunk,
    completion.CompletionResponseChoice: CompletionChoice,
    completion.CompletionResponse: Completion,
    completion.CompletionResponseStreamChoice: CompletionChoice,
    completion.CompletionStreamResponse: Completion,
    responses.InputTokensDetails: response_usage.InputTokensDetails,
    responses.OutputTokensDetails: response_usage.OutputTokensDetails,
    responses.ResponseUsage: response_usage.ResponseUsage,
    responses.ResponsesResponse: Response,
    embed.EmbeddingResponse: CreateEmbeddingResponse,
}
_UNLESS_NULL: Final[dict[Any, tuple[str, ...]]] = {
    usage.UsageInfo: ("completion_tokens", "prompt_tokens_details", "completion_tokens_details"),
    chat.ChatMessage: ("annotations", "audio", "function_call", "reasoning"),
    chat.ChatCompletionResponseChoice: ("token_ids",),
    chat.ChatCompletionResponse: (
        *("service_tier", "system_fingerprint", "metrics"),
        *("prompt_logprobs", "prompt_token_ids", "prompt_text"),
    ),
    chat.ChatCompletionResponseStreamChoice: ("token_ids",),
    chat.ChatCompletionStreamResponse: ("prompt_token_ids", "prompt_text", "metrics"),
    completion.CompletionResponseChoice: ("token_ids", "prompt_logprobs", "prompt_token_ids"),
    completion.CompletionResponse: ("service_tier", "system_fingerprint", "metrics"),
    completion.CompletionResponseStreamChoice: ("token_ids", "prompt_token_ids"),
    completion.CompletionStreamResponse: ("metrics",),
}


def install() -> None:
    """Change vLLM's answers in this process."""
    for model, openai in _OPENAI.items():
        known = {*openai.model_fields, *_UNLESS_NULL.get(model, ())}
        for name in model.model_fields.keys() - known:
            model.model_fields[name].exclude = True
    for model, names in _UNLESS_NULL.items():
        for name in names:
            model.model_fields[name].exclude_if = _is_none
    limit = responses.ResponsesResponse.model_fields["max_output_tokens"]
    limit.annotation = int | None
    events = (
        *(responses.ResponseCreatedEvent, responses.ResponseInProgressEvent),
        responses.ResponseCompletedEvent,
    )
    for model in (*_OPENAI, *events):
        model.model_rebuild(force=True)
    # Dozens of vLLM's modules have imported this function by its name.
    chat_utils.make_tool_call_id.__code__ = _tool_call_id.__code__
    replace(embed_serving, "get_pooling_usage", _usage_of_embeddings)
    replace(OpenAIServingChat, "_create_chat_message", _chat_message)
    replace(
        completion_serving.OpenAIServingCompletion,
        "request_output_to_completion_response",
        _completion,
    )
    completion_serving.CompletionResponseStreamChoice = functools.partial(
        _completion_choice, completion.CompletionResponseStreamChoice
    )
    replace(OpenAIServingResponses, "create_responses", _create_response)
    replace(OpenAIServingResponses, "responses_stream_generator", _response_events)
    built = responses.ResponsesResponse.from_request
    responses.ResponsesResponse.from_request = functools.partial(_response, built)


def replace(owner: Any, name: str, replacement: Callable[..., Any]) -> None:
    """Replace a function. The replacement gets the original as its first argument."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def replaced(*args: Any, **options: Any) -> Any:
        return replacement(original, *args, **options)

    setattr(owner, name, replaced)


def _is_none(value: object) -> bool:
    return value is None


def _tool_call_id(id_type: str = "random", func_name: Any = None, idx: Any = None) -> str:
    """Return an ID of a tool call. Runs with the names of vLLM's module, as its code."""
    if id_type == "kimi_k2":
        return f"functions.{func_name}:{idx}"
    return f"call_{random_uuid()}"


def _usage_of_embeddings(original: Callable[..., Any], outputs: Any) -> Any:
    found = original(outputs)
    found.completion_tokens = None
    return found


def _chat_message(original: Callable[..., Any], *args: Any, **fields: Any) -> Any:
    if fields.get("tool_calls") and not fields.get("content"):
        fields["content"] = None
    return original(*args, **fields)


def _completion(
    original: Callable[..., Any], self: Any, outputs: Any, request: Any, *args: Any, **named: Any
) -> Any:
    """Build a completion. With `echo`, vLLM has the prompt's `logprobs` twice."""
    answer = original(self, outputs, request, *args, **named)
    if request.prompt_logprobs is None:
        for choice in answer.choices:
            choice.prompt_logprobs = None
    return answer


def _completion_choice(original: Callable[..., Any], **fields: Any) -> Any:
    """Build a choice of a stream. With `echo`, vLLM has the prompt's tokens without being asked."""
    if fields["token_ids"] is None:
        fields["prompt_token_ids"] = None
    return original(**fields)


class _Asked(NamedTuple):
    """Parameters of a request for a response, before vLLM changes them."""

    text: Any
    tools: Any
    tool_choice: Any


async def _create_response(
    original: Callable[..., Any], self: Any, request: Any, *args: Any
) -> Any:
    request.asked = _Asked(request.text, request.tools, request.tool_choice)
    request.background = bool(request.background)
    request.truncation = request.truncation or "disabled"
    if isinstance(request.tool_choice, ToolChoiceAllowed):
        allowed = {tool.get("name") for tool in request.tool_choice.tools}
        request.tools = [tool for tool in request.tools if getattr(tool, "name", None) in allowed]
        request.tool_choice = request.tool_choice.mode
    return await original(self, request, *args)


def _response(original: Callable[..., Any], request: Any, *args: Any, **fields: Any) -> Any:
    """Build a response that repeats the request's own parameters."""
    response = original(request, *args, **fields)
    text, tools, tool_choice = request.asked
    response.text = text or ResponseTextConfig(format=ResponseFormatText(type="text"))
    response.tools = tools
    response.tool_choice = tool_choice if tools else "auto"
    response.metadata = request.metadata or {}
    response.max_output_tokens = request.max_output_tokens
    response.service_tier = "default"
    response.top_logprobs = request.top_logprobs or 0
    response.error = None
    if response.status == "incomplete" and response.output:
        _cut(response.output[-1])
    return response


def _cut(item: Any) -> None:
    """Mark the last item of an incomplete response."""
    if "status" in type(item).model_fields:
        item.status = "incomplete"


class _ResponseIncompleteEvent(ResponseIncompleteEvent):
    response: responses.ResponsesResponse


async def _response_events(
    original: Callable[..., Any], *args: Any, **options: Any
) -> AsyncIterator[Any]:
    """Yield the events of a response. Those that end an item wait until it is known how it ends."""
    ending: list[Any] = []
    async for event in original(*args, **options):
        if event.model_extra:
            event.model_extra.clear()
        if event.type.endswith(".done"):
            ending.append(event)
            continue
        if event.type == "response.completed" and event.response.status == "incomplete":
            for item in [each.item for each in ending[-1:] if hasattr(each, "item")]:
                _cut(item)
            event = _ResponseIncompleteEvent(
                type="response.incomplete",
                sequence_number=event.sequence_number,
                response=event.response,
            )
        for held in ending:
            yield held
        ending.clear()
        yield event
    for held in ending:  # of a stream that ends early
        yield held


def install_chat_inputs() -> None:
    """Change how vLLM's server in this process reads chats."""
    replace(hf, "parse_chat_messages", _parse)
    replace(hf, "parse_chat_messages_async", _parse)
    replace(hf, "_try_get_processor_chat_template", _no_template)


def _parse(original: Callable[..., Any], messages: Sequence[Any], *args: Any, **named: Any) -> Any:
    messages = [_joined(message) for message in messages]
    if any(message["role"] == "developer" for message in messages):
        messages = merge_system_messages([_instruction(message) for message in messages])
    return original(messages, *args, **named)


def _joined(message: Any) -> Any:
    content = message.get("content")
    if content is None or isinstance(content, str):
        return message
    return {**message, "content": join_text_parts(content)}


def _instruction(message: Any) -> Any:
    if message["role"] not in ("system", "developer"):
        return message
    content = message.get("content")
    if isinstance(content, list):
        content = join_texts(part.get("text") or "" for part in content)
    return {"role": "system", "content": content}


def _no_template(*_args: object, **_named: object) -> None:
    return None
