"""The methods of OpenAI's SDKs that work here, with what differs from OpenAI's API.

All other methods are refused with the reason in `service/web/openai_only.py`. The tables of
docs/openai-sdk.md are written from both: `python -m tests.sdk.page --write`.
"""

from __future__ import annotations

from typing import Final

_ALSO = "the object also has fields of this service"
_HELPER = "a helper of the SDK"
_TOOLS = (
    "`tools` need a base model with the capability `tools`; others answer 400 `unsupported_tools`"
)
_BASE = "base models of the installation, trained models, shared ones too, and aliases"

DIFFERS: Final = {
    "admin.organization.audit_logs.list": (
        "more types of events, with their result; actors are keys, since there are no users"
    ),
    "admin.organization.admin_api_keys.create": "in the project of the key of the request",
    "admin.organization.admin_api_keys.delete": "",
    "admin.organization.admin_api_keys.list": _ALSO,
    "admin.organization.admin_api_keys.retrieve": _ALSO,
    "admin.organization.projects.api_keys.delete": "",
    "admin.organization.projects.api_keys.list": _ALSO,
    "admin.organization.projects.api_keys.retrieve": _ALSO,
    "admin.organization.projects.api_keys.update": (
        "also changes the name, role, models, addresses and limits; `scopes` is refused, because "
        "a key has a role"
    ),
    "admin.organization.projects.archive": "work in progress continues",
    "admin.organization.projects.create": "`name` is part of the names of models: `[a-z0-9-]`",
    "admin.organization.projects.list": "",
    "admin.organization.projects.retrieve": "",
    "admin.organization.projects.service_accounts.api_keys.create": (
        "`scopes` is refused, because a key has a role"
    ),
    "admin.organization.projects.service_accounts.create": "",
    "admin.organization.projects.service_accounts.delete": "",
    "admin.organization.projects.service_accounts.list": "",
    "admin.organization.projects.service_accounts.retrieve": "",
    "admin.organization.projects.service_accounts.update": "changes the role of all of its keys",
    "admin.organization.projects.update": (
        "changes limits and [capture](capture.md); another `name` is refused"
    ),
    "admin.organization.usage.completions": "includes embeddings; `group_by` also takes `batch`",
    "batches.cancel": "",
    "batches.create": "for chats, completions, responses and embeddings; one model per batch",
    "batches.list": "",
    "batches.retrieve": "",
    "beta.responses.create": "like `responses.create`",
    "chat.completions.create": (
        f"{_TOOLS}; `store` has an effect only if the project's [capture](capture.md) is on; "
        "`logprobs` have no `refusal`"
    ),
    "chat.completions.delete": "",
    "chat.completions.list": (
        f"chats of projects whose [capture](capture.md) is on, with personal data replaced; {_ALSO}"
    ),
    "chat.completions.messages.list": "parts of a message are joined",
    "chat.completions.parse": "the schema is enforced while the answer is written",
    "chat.completions.retrieve": "only the first choice; see `list`",
    "chat.completions.stream": _HELPER,
    "chat.completions.update": "the metadata is stored as it is",
    "completions.create": "",
    "embeddings.create": "needs a model that embeds; others answer 400 `unsupported_model`",
    "evals.create": "",
    "evals.delete": "",
    "evals.list": "",
    "evals.retrieve": "",
    "evals.runs.cancel": "",
    "evals.runs.create": "`error` is null without an error, as at OpenAI; the types have no null",
    "evals.runs.delete": "",
    "evals.runs.list": "",
    "evals.runs.output_items.list": "",
    "evals.runs.output_items.retrieve": "",
    "evals.runs.retrieve": "",
    "evals.update": "",
    "files.content": "",
    "files.create": "more formats and purposes; the file is checked line by line",
    "files.delete": (
        "names the unfinished jobs that use the file, the models trained on it, and receipts; "
        "`cascade=true` deletes these models"
    ),
    "files.list": "",
    "files.retrieve": _ALSO,
    "files.retrieve_content": "deprecated by OpenAI",
    "files.wait_for_processing": _HELPER,
    "fine_tuning.checkpoints.permissions.create": "for any trained model, not only checkpoints",
    "fine_tuning.checkpoints.permissions.delete": "",
    "fine_tuning.checkpoints.permissions.list": "",
    "fine_tuning.checkpoints.permissions.retrieve": "deprecated by OpenAI",
    "fine_tuning.alpha.graders.run": "five more types of graders",
    "fine_tuning.alpha.graders.validate": "five more types of graders",
    "fine_tuning.jobs.cancel": "",
    "fine_tuning.jobs.checkpoints.list": "",
    "fine_tuning.jobs.create": (
        "methods `supervised`, `dpo`, `reinforcement`, `kto` and `pretraining`; more "
        "hyperparameters"
    ),
    "fine_tuning.jobs.list": "includes jobs of the methods that OpenAI does not have",
    "fine_tuning.jobs.list_events": "",
    "fine_tuning.jobs.pause": "status `paused`, as OpenAI documents; the types lack it",
    "fine_tuning.jobs.resume": "",
    "fine_tuning.jobs.retrieve": _ALSO,
    "models.delete": "trained models; those that an alias points to are refused",
    "models.list": _BASE,
    "models.retrieve": f"{_BASE}; {_ALSO}",
    "responses.create": (
        f"{_TOOLS}; `previous_response_id` is refused; `store` has an effect only if the project's "
        "[capture](capture.md) is on"
    ),
    "responses.parse": "the schema is enforced while the answer is written",
    "responses.stream": _HELPER,
    "uploads.cancel": "",
    "uploads.complete": "",
    "uploads.create": "up to 8 GiB",
    "uploads.parts.create": "",
    "uploads.upload_file_chunked": _HELPER,
    "webhooks.create": "only to hosts that the operator allows",
    "webhooks.delete": "",
    "webhooks.event_types.list": "also has events of exports and generations",
    "webhooks.list": "",
    "webhooks.retrieve": "",
    "webhooks.rotate_secret": "",
    "webhooks.test": "",
    "webhooks.unwrap": _HELPER,
    "webhooks.update": "",
    "webhooks.verify_signature": _HELPER,
}

PYTHON_ONLY: Final = frozenset(
    {
        "admin.organization.projects.api_keys.update",
        "files.retrieve_content",
        "uploads.upload_file_chunked",
        *(name for name in DIFFERS if name.startswith("webhooks.") and "." not in name[9:]),
        "webhooks.event_types.list",
    }
    - {"webhooks.unwrap", "webhooks.verify_signature"}
)
"""The methods above that the SDK for Node does not have."""

NODE_ONLY: Final = {"chat.completions.run_tools": f"{_HELPER}; see `create`"}

WEBSOCKETS: Final = "There are no WebSockets here: stream the answer with `create`."

NOT_AS_DECLARED: Final[tuple[dict[str, str | None], ...]] = (
    # The messages of a request are OpenAI's too, although the SDKs declare only assistants'.
    {"method": "chat.completions.messages.", "field": "role", "value": "user"},
    {"method": "chat.completions.messages.", "field": "role", "value": "system"},
    # Null at OpenAI too, as its documentation shows, although the SDKs declare no null.
    {"method": "completions.create", "field": "finish_reason", "value": None},  # of most chunks
    {"method": "evals.runs.", "field": "error", "value": None},
    # OpenAI's documentation has this status, and its SDKs do not.
    {"method": "fine_tuning.jobs.", "field": "status", "value": "paused"},
    # Methods that OpenAI does not have.
    {"method": "fine_tuning.jobs.", "field": "type", "value": "kto"},
    {"method": "fine_tuning.jobs.", "field": "type", "value": "pretraining"},
)
"""Fields that are not of the type that the SDKs declare, by the start of the method's name."""
