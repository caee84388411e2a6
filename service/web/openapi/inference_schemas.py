"""Bodies and answers of the inference routes, as far as most callers need them. All are open."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_TIME: Json = {"type": "integer", "description": "Seconds since 1970, UTC."}


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
        "description": "A base model, a trained model or an alias of the project.",
    },
    "stream": {"type": "boolean", "default": False, "description": "Answer by events."},
    "temperature": {"type": "number", "minimum": 0, "description": "0 is the likeliest answer."},
    "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
}
_GENERATION: Json = {
    **_SAMPLING,
    "stream_options": _object(
        "Of a stream.",
        (),
        include_usage={"type": "boolean", "description": "A last event with the token counts."},
    ),
    "max_tokens": {"type": "integer", "minimum": 1, "description": "Most tokens of the answer."},
    "n": {
        "type": "integer",
        "minimum": 1,
        "description": "How many answers, 16 at most unless the operator sets another number. With "
        "many prompts each of them has so many.",
    },
    "stop": {
        "anyOf": [_TEXT, _list_of(_TEXT)],
        "description": "Texts at which the answer ends.",
    },
    "seed": {"type": "integer", "description": "The same seed draws the same answer."},
    "frequency_penalty": {"type": "number", "minimum": -2, "maximum": 2},
    "presence_penalty": {"type": "number", "minimum": -2, "maximum": 2},
}
_USAGE = _nullable(
    _object(
        "Tokens of the request.",
        ("prompt_tokens", "total_tokens"),
        prompt_tokens=_COUNT,
        completion_tokens=_nullable(_COUNT),
        total_tokens=_COUNT,
    )
)
_FINISH: Json = {
    "type": ["string", "null"],
    "description": "`stop`: the model ended. `length`: it was cut. `tool_calls`: it calls tools.",
}
_MESSAGE = _object(
    "One turn of a conversation.",
    ("role",),
    role={
        "type": "string",
        "enum": ["system", "developer", "user", "assistant", "tool"],
        "description": "Who speaks.",
    },
    content={
        "anyOf": [_TEXT, _list_of({"type": "object"}), {"type": "null"}],
        "description": "A text, or parts of one; null where a turn only calls tools.",
    },
    tool_calls=_list_of({"type": "object"}, description="Of an assistant."),
    tool_call_id={"type": "string", "description": "Of a tool: the call that this answers."},
)


def _answer(description: str, object_: str, choice: Json) -> Json:
    return _object(
        description,
        ("id", "object", "created", "model", "choices"),
        id=_TEXT,
        object={"type": "string", "enum": [object_]},
        created=_TIME,
        model={"type": "string", "description": "The model that answered."},
        choices=_list_of(choice),
        usage=_USAGE,
    )


SCHEMAS: dict[str, Json] = {
    "CreateChatCompletion": _object(
        "OpenAI's body of a chat completion.",
        ("model", "messages"),
        **_GENERATION,
        messages=_list_of({"$ref": "#/components/schemas/ChatMessage"}, minItems=1),
        max_completion_tokens={
            "type": "integer",
            "minimum": 1,
            "description": "As `max_tokens`, which it overrides.",
        },
        tools=_list_of({"type": "object"}, description="Functions that the model may call."),
        tool_choice={"description": "`auto`, `none`, `required`, or the one tool to call."},
        response_format={"type": "object", "description": "JSON, or JSON of a schema."},
        logprobs={"type": ["boolean", "null"], "description": "Tell each token's likelihood."},
    ),
    "ChatMessage": _MESSAGE,
    "ChatCompletion": _answer(
        "OpenAI's chat completion.",
        "chat.completion",
        _object(
            "One answer.",
            ("index", "message", "finish_reason"),
            index=_COUNT,
            message={"$ref": "#/components/schemas/ChatMessage"},
            finish_reason=_FINISH,
        ),
    ),
    "CreateCompletion": _object(
        "OpenAI's body of a completion.",
        ("model", "prompt"),
        **_GENERATION,
        prompt={
            "anyOf": [_TEXT, _list_of(_TEXT), _list_of(_COUNT), _list_of(_list_of(_COUNT))],
            "description": "Texts, or tokens.",
        },
        echo={"type": "boolean", "description": "The prompt before the answer."},
        logprobs={"type": ["integer", "null"], "description": "Likelihoods of so many tokens."},
    ),
    "Completion": _answer(
        "OpenAI's completion.",
        "text_completion",
        _object(
            "One answer.",
            ("index", "text", "finish_reason"),
            index=_COUNT,
            text=_TEXT,
            finish_reason=_FINISH,
        ),
    ),
    "CreateResponse": _object(
        "OpenAI's body of a response.",
        ("model", "input"),
        **_SAMPLING,
        input={"anyOf": [_TEXT, _list_of({"type": "object"})], "description": "A text, or turns."},
        instructions={"type": ["string", "null"], "description": "The system message."},
        max_output_tokens={
            "type": ["integer", "null"],
            "description": "Most tokens of the answer.",
        },
        tools=_list_of({"type": "object"}, description="Functions that the model may call."),
    ),
    "Response": _object(
        "OpenAI's response.",
        ("id", "object", "created_at", "model", "status", "output"),
        id=_TEXT,
        object={"type": "string", "enum": ["response"]},
        created_at=_TIME,
        model=_TEXT,
        status={"type": "string", "description": "`completed`, or why not."},
        output=_list_of({"type": "object"}, description="Messages, and calls of tools."),
        usage=_nullable({"type": "object"}),
    ),
    "CreateEmbeddings": _object(
        "OpenAI's body of embeddings.",
        ("model", "input"),
        model=_SAMPLING["model"],
        input={
            "anyOf": [_TEXT, _list_of(_TEXT), _list_of(_COUNT), _list_of(_list_of(_COUNT))],
            "description": "Texts, or tokens.",
        },
        encoding_format={"type": "string", "enum": ["float", "base64"], "default": "float"},
        dimensions={"type": "integer", "minimum": 1, "description": "Shorter vectors."},
    ),
    "Embeddings": _object(
        "OpenAI's list of embeddings.",
        ("object", "data", "model"),
        object={"type": "string", "enum": ["list"]},
        data=_list_of(
            _object(
                "One vector.",
                ("object", "index", "embedding"),
                object={"type": "string", "enum": ["embedding"]},
                index=_COUNT,
                embedding={
                    "anyOf": [_list_of({"type": "number"}), {"type": "string"}],
                    "description": "Numbers, or base64 of 32-bit floats.",
                },
            )
        ),
        model=_TEXT,
        usage=_USAGE,
    ),
}
