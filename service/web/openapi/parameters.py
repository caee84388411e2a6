"""Parameters by name: what they mean, and what ids look like.

Patterns are told and not enforced by FastAPI: an id that can be none is 404, as one that is none.
"""

from __future__ import annotations

from typing import Any


def _id(prefix: str, text: str) -> tuple[str, dict[str, Any]]:
    return text, {"pattern": f"^{prefix}[0-9A-Za-z]{{1,64}}$"}


_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "file_id": _id("file-", "A file of the project."),
    "upload_id": _id("upload_", "An upload of the project."),
    "cleaning_id": _id("fileclean-", "A cleaning of the file."),
    "job_id": _id("ftjob-", "A fine-tuning job of the project."),
    "project_id": _id("proj_", "A project of this installation."),
    "webhook_endpoint_id": _id("webhook_", "Identifier of a webhook endpoint of the project."),
    "key_id": _id("key_", "An API key of the project."),
    "model": (
        "A base model, a trained model or an alias. `/` may be sent as it is or as `%2F`.",
        {"maxLength": 512},
    ),
    "name": (
        "An alias. `/` may be sent as it is or as `%2F`.",
        {"pattern": "^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"},
    ),
    "after": ("The `last_id` of the page before: this one goes on after it.", {}),
    "limit": ("The most that a page holds.", {}),
    "order": ("`desc`: newest first.", {}),
    "idempotency-key": (
        (
            "Up to 255 characters of your own. Sent again with the same body within a day, the "
            "request is answered as the first time; with another body it is 409."
        ),
        {},
    ),
    "last-event-id": ("With `stream`: go on after this event.", {}),
}


def complete(parameter: dict[str, Any]) -> None:
    """Describe a parameter where its route did not."""
    text, more = _PARAMETERS.get(parameter["name"].lower(), ("", {}))
    parameter.setdefault("description", parameter["schema"].pop("description", text))
    if parameter["in"] == "path":
        parameter["schema"] |= more
