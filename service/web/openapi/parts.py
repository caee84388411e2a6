"""Parts that many operations share: tags, parameters, headers, errors and the security scheme."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from service.core.errors import BY_STATUS

Json = dict[str, Any]
STREAM: Final = "text/event-stream"

SUMMARY = "Fine-tune open models on your own hardware and serve them."
DESCRIPTION = """\
OpenAI-compatible API for files, fine-tuning, models and inference. An unmodified OpenAI SDK runs
the complete workflow: upload, fine-tune, monitor, chat. Extensions use separate fields, which the
SDKs ignore, or separate operations.

- Every request except the probes and `listSignInMethods` needs an API key of a project, and can
  access only that project. A request for an object of another project answers 404, as if the object
  did not exist.
- Every failure has the body `ErrorResponse`, which always has the same four keys. The message
  states what is wrong and how to fix it. `code` is stable and meant for programs; `x-error-codes`
  of an operation lists those that it answers, by status.
- An internal failure of the service answers 500 with the code `internal_error`, on any operation.
- Every response has an `x-request-id` header. If the request sends one of up to 64 letters, digits
  and `._-`, the response returns it.
- Times are Unix timestamps in seconds (UTC). Lists are sorted newest first by default, and
  those of evals oldest first. To get the next page while `has_more` is true, send
  `after=<last id>`.
- Operations that accept an `Idempotency-Key` header create an object only once, even if the
  request is sent several times.
"""
LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
SERVERS = [
    {
        "url": "{origin}",
        "description": "Your own installation.",
        "variables": {
            "origin": {
                "default": "http://127.0.0.1:8000",
                "description": "Address of the API. `finetuned-server up` listens on the default.",
            }
        },
    }
]
TAGS = [
    {"name": "Files", "description": "Upload and download of training data and results."},
    {
        "name": "Uploads",
        "description": "Resumable uploads of large files, in parts that may arrive in any order.",
    },
    {
        "name": "Data sets",
        "description": "Statistics, findings, recommendations and cleaning of training files, and "
        "generation of training rows from documents.",
    },
    {"name": "Fine-tuning", "description": "Jobs that fine-tune a base model on your data."},
    {
        "name": "Stored chats",
        "description": "Chats that a project stored, with personal data replaced, to train on.",
    },
    {"name": "Graders", "description": "Runs and validations of graders, which score an answer."},
    {
        "name": "Evals",
        "description": "Runs that sample answers of a model to a data set and grade them.",
    },
    {
        "name": "Batches",
        "description": "Requests from a file, answered within a day at a lower priority than all "
        "others.",
    },
    {
        "name": "Webhooks",
        "description": "Signed requests that report the end of a job, a run, an export, a batch or "
        "a generation.",
    },
    {
        "name": "Webhook events",
        "description": "Requests that the service sends to webhook endpoints. All have one body.",
    },
    {"name": "Models", "description": "Base models, trained models and aliases."},
    {"name": "Exports", "description": "Trained models as archives for other software."},
    {"name": "Erasure", "description": "Receipts of deleted files and models."},
    {
        "name": "Aliases",
        "description": "Names that a project gives to models. An alias moves to another model, or "
        "back, in one step.",
    },
    {
        "name": "Inference",
        "description": "Requests to base models and trained models. Requests to vLLM and its "
        "responses pass through, including fields that are not documented here.",
    },
    {
        "name": "Usage",
        "description": "Request and token counts over time, and the limits of the API key.",
    },
    {"name": "Audit log", "description": "Who did what, from where, and with what result."},
    {"name": "Projects", "description": "Tenants, their API keys and limits."},
    {
        "name": "Installation",
        "description": "Workers, queues, engines, and checks of the installation.",
    },
    {"name": "Health", "description": "Health checks. No API key needed."},
]
SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "API key of a project, sent as `Authorization: Bearer sk-ft-…`. Create keys "
    "with `finetuned-server keys create` or `createApiKey`. The role of a key decides which "
    "operations it may use: each operation names the permission that it needs.",
}

SESSION_SCHEME = {
    "type": "apiKey",
    "in": "cookie",
    "name": "__Host-finetuned-session",
    "description": "Session of a browser, begun by `createSession`. Over plain http, the cookie is "
    "named `finetuned-session`. It can be used for all operations, by pages of the same origin. "
    "Requests with other methods than GET and HEAD also need the header `X-CSRF-Token`.",
}

_RATE = {
    "limit-requests": ("integer", 600, "Requests per minute allowed for the key or its project."),
    "remaining-requests": ("integer", 599, "Requests that remain."),
    "reset-requests": ("string", "100ms", "Time until the full request limit is available."),
    "limit-tokens": ("integer", 60000, "Tokens per minute allowed for the key or its project."),
    "remaining-tokens": ("integer", 59880, "Tokens that remain."),
    "reset-tokens": ("string", "120ms", "Time until the full token limit is available."),
}
RATE_HEADERS = tuple(f"x-ratelimit-{name}" for name in _RATE)
RATE_ERROR_HEADERS = ("retry-after-ms", *RATE_HEADERS)
_SENT: dict[str, Json] = {
    "x-request-id": {
        "description": "ID of the request. Include it when you contact the operator.",
        "schema": {"type": "string"},
        "example": "req_6f1c0b7de0a94d7c53e800000001",
        "required": True,
    },
    "accept-ranges": {
        "description": "Unit of ranges that can be requested.",
        "schema": {"type": "string"},
        "example": "bytes",
    },
    "content-range": {
        "description": "Range of bytes that was sent, and the number of all bytes.",
        "schema": {"type": "string"},
        "example": "bytes 1024-2047/10240",
    },
    "repr-digest": {
        "description": "SHA-256 of the whole content in base64 (RFC 9530).",
        "schema": {"type": "string"},
        "example": "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:",
    },
    "retry-after": {
        "description": "Seconds to wait before retrying.",
        "schema": {"type": "integer"},
        "example": 2,
    },
    "retry-after-ms": {
        "description": "Milliseconds to wait before retrying. The SDKs prefer it to `retry-after`.",
        "schema": {"type": "integer"},
        "example": 850,
    },
    "x-should-retry": {
        "description": "Whether a retry can succeed. `false`: the same request will fail again. "
        "The SDKs honor it.",
        "schema": {"type": "string", "enum": ["false"]},
    },
    "www-authenticate": {
        "description": "Authentication scheme to use.",
        "schema": {"type": "string", "enum": ["Bearer"]},
    },
    "etag": {
        "description": "Version of an alias, to send as `If-Match`; or SHA-256 of an archive in "
        "hexadecimal digits.",
        "schema": {"type": "string"},
        "example": '"8m3v0c5k1q7w2e9r4t6y0u2i"',
    },
    "set-cookie": {
        "description": "Cookie of the session.",
        "schema": {"type": "string"},
        "example": "__Host-finetuned-session=…; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; "
        "Secure",
    },
    "content-disposition": {
        "description": "Name of the file.",
        "schema": {"type": "string"},
        "example": "attachment; filename*=UTF-8''chats.jsonl",
    },
}
_OF_LIMITS: dict[str, Json] = {
    f"x-ratelimit-{name}": {
        "description": f"{text} Sent only if a limit is set.",
        "schema": {"type": kind},
        "example": example,
    }
    for name, (kind, example, text) in _RATE.items()
}
HEADERS = _SENT | _OF_LIMITS


def headers(*names: str) -> Json:
    """References to headers that are sent in addition to the request ID."""
    return {
        name: {"$ref": f"#/components/headers/{name}"} for name in ("x-request-id", *sorted(names))
    }


def error(status: int, *more_headers: str) -> Json:
    """The response object of a failure, without examples."""
    kind = BY_STATUS[status]
    return {
        "description": kind.description(),
        "headers": headers(*kind.default_headers, *kind.other_headers, *more_headers),
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}},
    }


def stream_of(event: type[BaseModel]) -> Json:
    """The content of a response that is a stream of server-sent events with this data."""
    return {STREAM: {"schema": {"$ref": f"#/components/schemas/{event.__name__}"}}}


def _id(prefix: str, text: str) -> tuple[str, Json]:
    return text, {"pattern": f"^{prefix}[0-9A-Za-z]{{1,64}}$"}


_PARAMETERS: dict[str, tuple[str, Json]] = {
    "file_id": _id("file-", "ID of a file in the project."),
    "upload_id": _id("upload_", "ID of an upload in the project."),
    "job_id": _id("ftjob-", "ID of a fine-tuning job in the project."),
    "project_id": _id("proj_", "ID of a project in this installation."),
    "webhook_endpoint_id": _id("webhook_", "Identifier of a webhook endpoint of the project."),
    "eval_id": _id("eval_", "ID of an eval in the project."),
    "completion_id": (
        "ID of a stored chat completion of the project.",
        {"pattern": "^(chatcmpl-|resp_)[0-9A-Za-z._-]{1,100}$"},
    ),
    "batch_id": _id("batch_", "ID of a batch in the project."),
    "run_id": _id("evalrun_", "ID of a run of the eval."),
    "receipt_id": ("ID of an erasure receipt of the project.", {"maxLength": 128}),
    "output_item_id": _id("outputitem_", "ID of an output item of the run."),
    "key_id": _id("key_", "ID of an API key."),
    "approval_id": _id("approval_", "ID of an approval of the model."),
    "permission_id": _id("cp_", "ID of a permission to use the model."),
    "service_account_id": _id("svc_acct_", "ID of a service account of the project."),
    "model": (
        "ID of a base model or a trained model, or an alias. Send `/` as is or as `%2F`.",
        {"maxLength": 512},
    ),
    "name": (
        "Name of an alias. Send `/` as is or as `%2F`.",
        {"pattern": "^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"},
    ),
    "line": ("Line of the row in the uploaded file, from 1.", {}),
    "recognizer": ("Name of a recognizer.", {"pattern": "^[a-z][a-z0-9_]{0,63}$"}),
    "after": ("Cursor for pagination: the `last_id` of the previous page.", {}),
    "limit": ("Maximum number of objects per page.", {}),
    "order": ("Sort order by creation time. `desc` returns the newest first.", {}),
    "idempotency-key": (
        (
            "Client-chosen idempotency key of up to 255 characters. A repeated request with the "
            "same key and body returns the first response for one day. A request with the same "
            "key and another body answers 409."
        ),
        {},
    ),
    "last-event-id": ("ID of the last event received, to resume from. Requires `stream`.", {}),
}


def describe_parameter(parameter: Json) -> None:
    """Add the description of a parameter whose route does not describe it.

    FastAPI documents the ID patterns but does not enforce them: a malformed ID answers 404, as an
    unknown ID does.
    """
    text, more = _PARAMETERS.get(parameter["name"].lower(), ("", {}))
    parameter.setdefault("description", parameter["schema"].pop("description", text))
    if parameter["in"] == "path":
        parameter["schema"] |= more
