"""Schemas of the most common inference request and response fields. All allow extra fields."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_TIME: Json = {"type": "integer", "description": "Unix timestamp in seconds (UTC)."}


def _object(description: str, required: tuple[str, ...], **properties: Json) -> Json:
    return {
        "type": "object",
        "description": description,
        "required": list(required),
        "properties": properties,
        "additionalProperties": True,
    }


def _nullable(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _list_of(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


_SAMPLING: Json = {
    "model": {
        "type": "string",
        "minLength": 1,
        "maxLength": 512,
        "description": "ID of a base model, a trained model or an alias in the project.",
    },
    "stream": {
        "type": "boolean",
        "default": False,
        "description": "Whether to stream the response as server-sent events.",
    },
    "temperature": {
        "type": "number",
        "minimum": 0,
        "description": "Sampling temperature. 0 selects the most likely token at each step.",
    },
    "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    "priority": {
        "type": "integer",
        "minimum": 0,
        "default": 0,
        "description": "Scheduling priority. The engine handles requests with lower values first; "
        "evaluations use 10.",
    },
}
_GENERATION: Json = {
    **_SAMPLING,
    "stream_options": _object(
        "Options for streaming responses.",
        (),
        include_usage={
            "type": "boolean",
            "description": "Whether to send a final event with the token counts.",
        },
    ),
    "max_tokens": {
        "type": "integer",
        "minimum": 1,
        "description": "Maximum number of tokens to generate.",
    },
    "n": {
        "type": "integer",
        "minimum": 1,
        "description": "Number of completions to generate for each prompt. The total across all "
        "prompts is limited to 16 unless the operator configures another limit.",
    },
    "stop": {
        "anyOf": [_TEXT, _list_of(_TEXT)],
        "description": "Sequences at which generation stops.",
    },
    "seed": {
        "type": "integer",
        "description": "Sampling seed. The same seed gives the same output.",
    },
    "frequency_penalty": {"type": "number", "minimum": -2, "maximum": 2},
    "presence_penalty": {"type": "number", "minimum": -2, "maximum": 2},
}
_USAGE = _nullable(
    _object(
        "Token counts of the request.",
        ("prompt_tokens", "total_tokens"),
        prompt_tokens=_COUNT,
        completion_tokens=_nullable(_COUNT),
        total_tokens=_COUNT,
    )
)
_FINISH: Json = {
    "type": ["string", "null"],
    "description": "Reason generation ended. `stop`: the model finished. `length`: the token limit "
    "was reached. `tool_calls`: the model called tools.",
}
_MESSAGE = _object(
    "A message in a conversation.",
    ("role",),
    role={
        "type": "string",
        "enum": ["system", "developer", "user", "assistant", "tool"],
        "description": "Role of the message's author.",
    },
    content={
        "anyOf": [_TEXT, _list_of({"type": "object"}), {"type": "null"}],
        "description": "Message content as text or content parts; null if the message only calls "
        "tools.",
    },
    tool_calls=_list_of({"type": "object"}, description="Tool calls made by an assistant message."),
    tool_call_id={
        "type": "string",
        "description": "ID of the tool call that a tool message answers.",
    },
)


def _answer(description: str, object_: str, choice: Json) -> Json:
    return _object(
        description,
        ("id", "object", "created", "model", "choices"),
        id=_TEXT,
        object={"type": "string", "enum": [object_]},
        created=_TIME,
        model={"type": "string", "description": "Model that generated the response."},
        choices=_list_of(choice),
        usage=_USAGE,
    )


SCHEMAS: dict[str, Json] = {
    "CreateChatCompletion": _object(
        "Chat completion request, as in the OpenAI API.",
        ("model", "messages"),
        **_GENERATION,
        messages=_list_of({"$ref": "#/components/schemas/ChatMessage"}, minItems=1),
        max_completion_tokens={
            "type": "integer",
            "minimum": 1,
            "description": "Maximum number of tokens to generate. Overrides `max_tokens`.",
        },
        tools=_list_of({"type": "object"}, description="Functions that the model may call."),
        tool_choice={
            "description": "Tool selection: `auto`, `none`, `required`, or the one tool to call."
        },
        response_format={
            "type": "object",
            "description": "Output format: plain JSON, or JSON that matches a schema.",
        },
        logprobs={
            "type": ["boolean", "null"],
            "description": "Whether to return the log probability of each output token.",
        },
    ),
    "ChatMessage": _MESSAGE,
    "ChatCompletion": _answer(
        "Chat completion, as in the OpenAI API.",
        "chat.completion",
        _object(
            "A generated completion.",
            ("index", "message", "finish_reason"),
            index=_COUNT,
            message={"$ref": "#/components/schemas/ChatMessage"},
            finish_reason=_FINISH,
        ),
    ),
    "CreateCompletion": _object(
        "Text completion request, as in the OpenAI API.",
        ("model", "prompt"),
        **_GENERATION,
        prompt={
            "anyOf": [_TEXT, _list_of(_TEXT), _list_of(_COUNT), _list_of(_list_of(_COUNT))],
            "description": "Prompt or prompts, as text or token IDs.",
        },
        echo={"type": "boolean", "description": "Whether to return the prompt before the output."},
        logprobs={
            "type": ["integer", "null"],
            "description": "Number of most likely tokens to return log probabilities for.",
        },
    ),
    "Completion": _answer(
        "Text completion, as in the OpenAI API.",
        "text_completion",
        _object(
            "A generated completion.",
            ("index", "text", "finish_reason"),
            index=_COUNT,
            text=_TEXT,
            finish_reason=_FINISH,
        ),
    ),
    "CreateResponse": _object(
        "Response request, as in the OpenAI Responses API.",
        ("model", "input"),
        **_SAMPLING,
        input={
            "anyOf": [_TEXT, _list_of({"type": "object"})],
            "description": "Input text, or a list of input items.",
        },
        instructions={"type": ["string", "null"], "description": "System message."},
        max_output_tokens={
            "type": ["integer", "null"],
            "description": "Maximum number of tokens to generate.",
        },
        tools=_list_of({"type": "object"}, description="Functions that the model may call."),
    ),
    "Response": _object(
        "Response, as in the OpenAI Responses API.",
        ("id", "object", "created_at", "model", "status", "output"),
        id=_TEXT,
        object={"type": "string", "enum": ["response"]},
        created_at=_TIME,
        model=_TEXT,
        status={
            "type": "string",
            "description": "Status of the response: `completed`, or why it did not complete.",
        },
        output=_list_of({"type": "object"}, description="Output items: messages and tool calls."),
        usage=_nullable({"type": "object"}),
    ),
    "CreateEmbeddings": _object(
        "Embeddings request, as in the OpenAI API.",
        ("model", "input"),
        model=_SAMPLING["model"],
        input={
            "anyOf": [_TEXT, _list_of(_TEXT), _list_of(_COUNT), _list_of(_list_of(_COUNT))],
            "description": "Input or inputs to embed, as text or token IDs.",
        },
        encoding_format={"type": "string", "enum": ["float", "base64"], "default": "float"},
        dimensions={
            "type": "integer",
            "minimum": 1,
            "description": "Number of dimensions of each vector, if shorter than the model's.",
        },
    ),
    "Embeddings": _object(
        "List of embeddings, as in the OpenAI API.",
        ("object", "data", "model"),
        object={"type": "string", "enum": ["list"]},
        data=_list_of(
            _object(
                "An embedding vector.",
                ("object", "index", "embedding"),
                object={"type": "string", "enum": ["embedding"]},
                index=_COUNT,
                embedding={
                    "anyOf": [_list_of({"type": "number"}), {"type": "string"}],
                    "description": "Vector as numbers, or as base64-encoded 32-bit floats.",
                },
            )
        ),
        model=_TEXT,
        usage=_USAGE,
    ),
}
