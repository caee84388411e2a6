"""What many operations share: tags, headers, errors, the key."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

SUMMARY = "Fine-tune open models on your own hardware and serve them."
DESCRIPTION = """\
OpenAI's API for files, fine-tuning, models and inference, so that an unmodified OpenAI SDK runs
the whole loop: upload, fine-tune, watch, chat. What is added stands in fields of its own, which
the SDKs ignore, or in operations of its own.

- Every request but the probes carries an API key of a project, and sees that project alone: an
  object of another project is answered with 404, as one that does not exist.
- Every failure has the body `Error`, whose four keys are always there. The message says what is
  wrong and how to mend it; `code` is for programs and does not change.
- A fault of the service itself is 500 with the code `internal_error`, on any operation.
- Every answer has an `x-request-id`. Send your own, of up to 64 letters, digits and `._-`, and it
  is taken over.
- Times are seconds since 1970 in UTC. Lists are newest first, and go on with `after=<last id>`
  while `has_more` is true.
- A create that carries an `Idempotency-Key` happens once, however often it is sent, where the
  operation names that header.
"""
LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
SERVERS = [
    {
        "url": "{origin}",
        "description": "Your own installation.",
        "variables": {
            "origin": {
                "default": "http://127.0.0.1:8000",
                "description": "Where the api listens; `finetuned-server up` listens here.",
            }
        },
    }
]
TAGS = [
    {"name": "Files", "description": "Training data and results: bytes in and out."},
    {"name": "Uploads", "description": "Large files in parts, in any order, resumable."},
    {
        "name": "Data sets",
        "description": "What a training file holds: figures, findings, advice, and cleaning.",
    },
    {"name": "Fine-tuning", "description": "Jobs that make a base model yours."},
    {"name": "Webhooks", "description": "Signed requests that report the end of a job."},
    {"name": "Models", "description": "Base models, trained models and aliases."},
    {
        "name": "Aliases",
        "description": "Names of a project's own, pointed at models and back in one step.",
    },
    {
        "name": "Inference",
        "description": "Questions to base models and trained ones. Passed on to vLLM, and its "
        "answers back, as they are; fields that are not named here reach it too.",
    },
    {"name": "Usage", "description": "Requests and tokens over time."},
    {"name": "Projects", "description": "Tenants, their API keys and limits. For admin keys."},
    {"name": "Health", "description": "Probes and metrics, without a key."},
]
SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key of a project: `Authorization: Bearer sk-ft-…`. Keys are made with "
    "`finetuned-server keys create` or `createApiKey`. Operations of the tag Projects need one "
    "with the role `admin`.",
}

ERROR_SCHEMA: Json = {
    "title": "Error",
    "description": "Every failure's body, as OpenAI's SDKs read it.",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {
                    "type": "string",
                    "description": "What is wrong, where, and how to mend it. For people.",
                },
                "type": {
                    "type": "string",
                    "enum": [
                        "invalid_request_error",
                        "authentication_error",
                        "permission_error",
                        "rate_limit_error",
                        "server_error",
                    ],
                    "description": "The kind of failure.",
                },
                "param": {
                    "type": ["string", "null"],
                    "description": "The parameter or field at fault.",
                },
                "code": {
                    "type": ["string", "null"],
                    "description": "The fault, for programs.",
                },
            },
        }
    },
}

_RATE = {
    "limit-requests": ("integer", 600, "Requests a minute that the key or its project may make."),
    "remaining-requests": ("integer", 599, "Requests that are left now."),
    "reset-requests": ("string", "100ms", "Until all requests are free again."),
    "limit-tokens": ("integer", 60000, "Tokens a minute that the key or its project may use."),
    "remaining-tokens": ("integer", 59880, "Tokens that are left now."),
    "reset-tokens": ("string", "120ms", "Until all tokens are free again."),
}
RATE_HEADERS = tuple(f"x-ratelimit-{name}" for name in _RATE)
RATE_ERROR_HEADERS = ("retry-after-ms", *RATE_HEADERS)
_SENT: dict[str, Json] = {
    "x-request-id": {
        "description": "This request's id, to be told to the operator.",
        "schema": {"type": "string"},
        "example": "req_6f1c0b7de0a94d7c53e800000001",
        "required": True,
    },
    "retry-after": {
        "description": "Seconds after which to ask again.",
        "schema": {"type": "integer"},
        "example": 2,
    },
    "retry-after-ms": {
        "description": "The same in milliseconds, which the SDKs prefer.",
        "schema": {"type": "integer"},
        "example": 850,
    },
    "x-should-retry": {
        "description": "`false`: the same request will fail again. The SDKs heed it.",
        "schema": {"type": "string", "enum": ["false"]},
    },
    "www-authenticate": {
        "description": "How to prove who is asking.",
        "schema": {"type": "string", "enum": ["Bearer"]},
    },
    "etag": {
        "description": "The alias as it is now, to be sent as `If-Match`.",
        "schema": {"type": "string"},
        "example": '"8m3v0c5k1q7w2e9r4t6y0u2i"',
    },
    "content-disposition": {
        "description": "The file's name.",
        "schema": {"type": "string"},
        "example": "attachment; filename*=UTF-8''chats.jsonl",
    },
}
_OF_LIMITS: dict[str, Json] = {
    f"x-ratelimit-{name}": {
        "description": f"{text} Where a limit is set.",
        "schema": {"type": kind},
        "example": example,
    }
    for name, (kind, example, text) in _RATE.items()
}
HEADERS = _SENT | _OF_LIMITS

ERRORS = {
    400: "The request is malformed, or asks for what cannot be.",
    401: "No API key, or one that is not known.",
    403: "The key may not do this.",
    404: "No such object in your project.",
    408: "The body was not whole in time.",
    409: "The object's state does not allow this, or it was changed meanwhile.",
    413: "The body is over its limit.",
    415: "The content type is not one that this operation reads.",
    429: "Over a limit of the key or the project.",
    500: "The engine or the service failed on this request.",
    502: "The engine answered something that is no answer.",
    503: "A part that is needed is away for the moment.",
    504: "The engine did not answer in time.",
    507: "The artifact storage is full.",
}
_ERROR_HEADERS = {
    401: ("www-authenticate",),
    409: ("x-should-retry",),
    429: ("retry-after", "x-should-retry"),
    500: ("x-should-retry",),
    503: ("retry-after",),
    507: ("x-should-retry",),
}


def headers(*names: str) -> Json:
    """References to headers that are sent beside the request's id."""
    return {
        name: {"$ref": f"#/components/headers/{name}"} for name in ("x-request-id", *sorted(names))
    }


def error(status: int, *more_headers: str) -> Json:
    """A failure, without its examples."""
    return {
        "description": ERRORS[status],
        "headers": headers(*_ERROR_HEADERS.get(status, ()), *more_headers),
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
