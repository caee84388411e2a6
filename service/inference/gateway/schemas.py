"""The inference routes and their bodies, for openapi.json.

Nothing is parsed with these models, and the routes never run: `Gateway` answers the requests
without FastAPI, decodes them with `request_types` and passes bodies on as bytes. The models list
the fields that most clients use, and allow others: those of `parameters.FORWARDED`, and what the
operator allows.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from service.config import Settings
from service.inference.gateway.parameters import MAX_NAME_CHARS
from service.web.audit_events import AuditEvent
from service.web.deps import principal
from service.web.openapi.parts import RATE_ERROR_HEADERS, RATE_HEADERS, headers, stream_of
from service.web.permissions import Permission, needs

_MAX_ANSWERS = Settings.model_fields["max_answers_per_request"].default
Absent = SkipJsonSchema[None]
"""Marks a response field that can be missing but is never null."""
Object = dict[str, Any]
Tokens = list[int]
Prompts = str | list[str] | Tokens | list[Tokens]


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class StreamOptions(_Open):
    """Options for streaming responses."""

    include_usage: bool | None = Field(
        default=None, description="Whether to send a final event with the token counts."
    )


class _Request(_Open):
    model: str = Field(
        min_length=1,
        max_length=MAX_NAME_CHARS,
        description="ID of a base model, a trained model or an alias in the project.",
    )


class _Sampling(_Request):
    stream: bool | None = Field(
        default=False, description="Whether to stream the response as server-sent events."
    )
    temperature: float | None = Field(
        default=None,
        ge=0,
        description="Sampling temperature. 0 selects the most likely token at each step.",
    )
    top_p: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Nucleus sampling: samples from the most likely tokens whose probabilities add "
        "up to this value.",
    )


class _Generation(_Sampling):
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(
        default=None, ge=1, description="Maximum number of tokens to generate."
    )
    n: int | None = Field(
        default=None,
        ge=1,
        description="Number of completions to generate for each prompt. The total across all "
        f"prompts is limited to {_MAX_ANSWERS} unless the operator configures another limit.",
    )
    stop: str | list[str] | None = Field(
        default=None, description="Sequences at which generation stops."
    )
    seed: int | None = Field(
        default=None, description="Sampling seed. The same seed gives the same output."
    )
    frequency_penalty: float | None = Field(
        default=None,
        ge=-2,
        le=2,
        description="Penalty for a token that grows with each of its occurrences in the text.",
    )
    presence_penalty: float | None = Field(
        default=None, ge=-2, le=2, description="Penalty for tokens that occur in the text."
    )


class CompletionUsage(_Open):
    """Token counts of a request."""

    prompt_tokens: int = Field(ge=0, description="Number of tokens in the prompt.")
    completion_tokens: int | None = Field(
        default=None, ge=0, description="Number of generated tokens."
    )
    total_tokens: int = Field(ge=0, description="Number of tokens in the prompt and the output.")


class ChatMessage(_Open):
    """A message in a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"] = Field(
        description="Role of the message's author."
    )
    content: str | list[Object] | None = Field(
        default=None,
        description="Message content as text or content parts; null if the message only calls "
        "tools.",
    )
    tool_calls: list[Object] | Absent = Field(
        default=None, description="Tool calls made by an assistant message."
    )
    reasoning: str | Absent | None = Field(
        default=None,
        description="The model's reasoning before its answer, in an assistant message.",
    )
    tool_call_id: str | Absent = Field(
        default=None, description="ID of the tool call that a tool message answers."
    )


class ThinkingSwitches(BaseModel):
    """Reasoning options, named as in the chat templates of the base models."""

    model_config = ConfigDict(extra="forbid", strict=True)

    enable_thinking: bool | Absent = Field(
        default=None, description="Whether to reason before the answer: Qwen, GLM and Nemotron."
    )
    thinking: bool | Absent = Field(
        default=None, description="Whether to reason before the answer: DeepSeek and Granite."
    )
    preserve_thinking: bool | Absent = Field(
        default=None, description="Whether to keep the reasoning of earlier messages: Qwen."
    )
    truncate_history_thinking: bool | Absent = Field(
        default=None, description="Whether to drop the reasoning of earlier messages: Nemotron."
    )


class CreateChatCompletion(_Generation):
    """Chat completion request, as in the OpenAI API."""

    messages: list[ChatMessage] = Field(min_length=1, description="Messages of the conversation.")
    max_completion_tokens: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of tokens to generate. Not together with `max_tokens`.",
    )
    tools: list[Object] | None = Field(
        default=None, description="Functions that the model may call."
    )
    tool_choice: Any = Field(
        default=None,
        description="Tool selection: `auto`, `none`, `required`, the one tool to call, or the "
        "`allowed_tools`.",
    )
    chat_template_kwargs: ThinkingSwitches | None = None
    response_format: Object | None = Field(
        default=None, description="Output format: plain JSON, or JSON that matches a schema."
    )
    logprobs: bool | None = Field(
        default=None,
        description="Whether to return the log probability of each output token.",
    )


class CreateCompletion(_Generation):
    """Text completion request, as in the OpenAI API."""

    prompt: Prompts = Field(description="Prompt or prompts, as text or token IDs.")
    echo: bool | None = Field(
        default=None, description="Whether to return the prompt before the output."
    )
    logprobs: int | None = Field(
        default=None,
        description="Number of most likely tokens to return log probabilities for.",
    )


class _Choice(_Open):
    index: int = Field(
        ge=0, description="Position of the choice in the list of choices, starting at 0."
    )
    finish_reason: str | None = Field(
        description="Reason generation ended. `stop`: the model finished. `length`: the token "
        "limit was reached. `tool_calls`: the model called tools."
    )


class ChatCompletionChoice(_Choice):
    """A generated chat message."""

    message: ChatMessage = Field(description="Generated message.")


class CompletionChoice(_Choice):
    """A generated text."""

    text: str = Field(description="Generated text.")


class _Generated(_Open):
    id: str = Field(description="ID of the completion.")
    created: int = Field(description="Unix timestamp in seconds (UTC).")
    model: str = Field(description="Model that generated the response.")
    usage: CompletionUsage | None = None


class ChatCompletion(_Generated):
    """Chat completion, as in the OpenAI API."""

    object: Literal["chat.completion"]
    choices: list[ChatCompletionChoice] = Field(
        description="Generated messages, one per requested choice."
    )


class Completion(_Generated):
    """Text completion, as in the OpenAI API."""

    object: Literal["text_completion"]
    choices: list[CompletionChoice] = Field(
        description="Generated texts, one per requested choice."
    )


class ChatCompletionDelta(_Open):
    """Part of a chat message that an event adds."""

    role: Literal["assistant"] | Absent = Field(
        default=None, description="Role of the message's author, in the first event of a choice."
    )
    content: str | Absent | None = Field(
        default=None, description="Text to append to the content of the message."
    )
    reasoning: str | Absent | None = Field(
        default=None, description="Text to append to the reasoning of the message."
    )
    tool_calls: list[Object] | Absent = Field(
        default=None, description="Parts of tool calls, each with the `index` of its call."
    )


class ChatCompletionChunkChoice(_Choice):
    """Part of a generated chat message."""

    delta: ChatCompletionDelta = Field(description="What the event adds to the message.")


class ChatCompletionChunk(_Generated):
    """Event of a streamed chat completion, as in the OpenAI API."""

    object: Literal["chat.completion.chunk"] = Field(
        description="Type of the object. Always `chat.completion.chunk`."
    )
    choices: list[ChatCompletionChunkChoice] = Field(
        description="Parts of the generated messages. Empty in the event with the token counts."
    )


class CreateResponse(_Sampling):
    """Response request, as in the OpenAI Responses API."""

    input: str | list[Object] = Field(description="Input text, or a list of input items.")
    instructions: str | None = Field(default=None, description="System message.")
    max_output_tokens: int | None = Field(
        default=None, description="Maximum number of tokens to generate."
    )
    tools: list[Object] | None = Field(
        default=None, description="Functions that the model may call."
    )
    chat_template_kwargs: ThinkingSwitches | None = None


class Response(_Open):
    """Response, as in the OpenAI Responses API."""

    id: str = Field(description="ID of the response.")
    object: Literal["response"]
    created_at: int = Field(description="Unix timestamp in seconds (UTC).")
    model: str = Field(description="Model that generated the response.")
    status: str = Field(
        description="Status of the response: `completed`, or why it did not complete."
    )
    output: list[Object] = Field(description="Output items: messages, reasoning and tool calls.")
    usage: Object | None = Field(default=None, description="Token counts of the request.")


class ModelResponseEvent(_Open):
    """Event of a streamed response, as in the OpenAI Responses API.

    Further fields depend on the type. Events about the response as a whole have it as `response`.
    """

    type: str = Field(
        description="Type of the event.",
        examples=["response.created", "response.output_text.delta"],
    )
    sequence_number: int | Absent = Field(
        default=None, description="Position of the event in the stream, starting at 0."
    )


class CreateEmbeddings(_Request):
    """Embeddings request, as in the OpenAI API."""

    input: Prompts = Field(description="Input or inputs to embed, as text or token IDs.")
    encoding_format: Literal["float", "base64"] = Field(
        default="float",
        description="Format of the vectors: numbers, or base64-encoded 32-bit floats.",
    )
    dimensions: int | None = Field(
        default=None,
        ge=1,
        description="Number of dimensions of each vector, if shorter than the model's.",
    )


class Embedding(_Open):
    """An embedding vector."""

    object: Literal["embedding"]
    index: int = Field(
        ge=0, description="Position of the embedding in the list of inputs, starting at 0."
    )
    embedding: list[float] | str = Field(
        description="Vector as numbers, or as base64-encoded 32-bit floats."
    )


class Embeddings(_Open):
    """List of embeddings, as in the OpenAI API."""

    object: Literal["list"]
    data: list[Embedding] = Field(description="Embeddings, in the order of the inputs.")
    model: str = Field(description="Model that generated the embeddings.")
    usage: CompletionUsage | None = Field(default=None, description="Token counts of the request.")


router = APIRouter(prefix="/v1", tags=["Inference"], dependencies=[Depends(principal)])

_PASSED_ON = (
    "`model` is the ID of a base model, a trained model or an alias in the project. The service "
    "forwards the body to vLLM unchanged. It accepts all parameters in OpenAI's reference and "
    "vLLM's sampling parameters, including those not listed here, and answers any other parameter "
    "with 400 and the code `unknown_parameter`. Audio, hosted tools and whatever else no engine "
    "does are answered with 400 and the code `unsupported_parameter`."
)
_STREAMED = (
    "If `stream` is true, the response is a stream of server-sent events: one `data:` line of JSON "
    "each, {end}. A failure during the stream is sent as an event with the body `ErrorResponse`."
)
_UNTIL_DONE = _STREAMED.format(end="then `data: [DONE]`")
_UNTIL_COMPLETED = _STREAMED.format(
    end="preceded by an `event:` line with the event's type; the last is `response.completed`, or "
    "`response.incomplete` if the answer reached the token limit"
)

_Responses = dict[int | str, dict[str, Any]]
_WHOLE: _Responses = {
    200: {"description": "The engine's response.", "headers": headers(*RATE_HEADERS)},
    429: {"headers": headers(*RATE_ERROR_HEADERS)},
}
EVENTS: Final = (ChatCompletionChunk, ModelResponseEvent)
"""Models of events, which only streams have."""


def _whole_or_stream_of(event: type[BaseModel]) -> _Responses:
    return {**_WHOLE, 200: {**_WHOLE[200], "content": stream_of(event)}}


@router.post(
    "/chat/completions",
    operation_id="createChatCompletion",
    summary="Create a chat completion",
    description=f"Generates the next message of a conversation. {_PASSED_ON} {_UNTIL_DONE}",
    responses=_whole_or_stream_of(ChatCompletionChunk),
    openapi_extra=needs(Permission.MODEL_REQUEST, AuditEvent.MODEL_REQUESTED),
)
async def create_chat_completion(_: CreateChatCompletion) -> ChatCompletion:
    """Generate the next message of a conversation."""
    raise NotImplementedError


@router.post(
    "/completions",
    operation_id="createCompletion",
    summary="Create a completion",
    description=f"Continues a text without applying a chat template. {_PASSED_ON} {_UNTIL_DONE}",
    responses=_whole_or_stream_of(Completion),
    openapi_extra=needs(Permission.MODEL_REQUEST, AuditEvent.MODEL_REQUESTED),
)
async def create_completion(_: CreateCompletion) -> Completion:
    """Continue a text."""
    raise NotImplementedError


@router.post(
    "/responses",
    operation_id="createResponse",
    summary="Create a response",
    description=f"Generates a response with OpenAI's Responses API. {_PASSED_ON} A response "
    f"cannot be continued by its ID: `previous_response_id` finds none. {_UNTIL_COMPLETED}",
    responses=_whole_or_stream_of(ModelResponseEvent),
    openapi_extra=needs(Permission.MODEL_REQUEST, AuditEvent.MODEL_REQUESTED),
)
async def create_response(_: CreateResponse) -> Response:
    """Generate a response with OpenAI's Responses API."""
    raise NotImplementedError


@router.post(
    "/embeddings",
    operation_id="createEmbedding",
    summary="Create embeddings",
    description="Converts texts to embedding vectors. The base model must be an embedding model; "
    f"others answer 400 with the code `unsupported_model`. {_PASSED_ON}",
    responses=_WHOLE,
    openapi_extra=needs(Permission.MODEL_REQUEST, AuditEvent.MODEL_REQUESTED),
)
async def create_embedding(_: CreateEmbeddings) -> Embeddings:
    """Convert texts to embedding vectors."""
    raise NotImplementedError
