"""Descriptions and ID patterns of the API's parameters, by name.

FastAPI documents the ID patterns but does not enforce them: a malformed ID answers 404, the same
as an unknown ID.
"""

from __future__ import annotations

from typing import Any


def _id(prefix: str, text: str) -> tuple[str, dict[str, Any]]:
    return text, {"pattern": f"^{prefix}[0-9A-Za-z]{{1,64}}$"}


_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "file_id": _id("file-", "ID of a file in the project."),
    "upload_id": _id("upload_", "ID of an upload in the project."),
    "cleaning_id": _id("fileclean-", "ID of a cleaning of the file."),
    "merge_id": _id("filemerge-", "ID of a merge whose first file this is."),
    "import_id": _id("modelimport-", "ID of an import of the file."),
    "job_id": _id("ftjob-", "ID of a fine-tuning job in the project."),
    "advice_id": _id("ftadvice-", "ID of advice in the project."),
    "sweep_id": _id("ftsweep-", "ID of a sweep in the project."),
    "export_id": _id("export-", "ID of an export in the project."),
    "project_id": _id("proj_", "ID of a project in this installation."),
    "webhook_endpoint_id": _id("webhook_", "Identifier of a webhook endpoint of the project."),
    "eval_id": _id("eval_", "ID of an eval in the project."),
    "completion_id": (
        "ID of a stored chat completion of the project.",
        {"pattern": "^(chatcmpl-|resp_)[0-9A-Za-z._-]{1,100}$"},
    ),
    "batch_id": _id("batch_", "ID of a batch in the project."),
    "generation_id": _id("dsgen_", "ID of a generation in the project."),
    "run_id": _id("evalrun_", "ID of a run of the eval."),
    "erasure_id": _id("erasuresearch-", "ID of an erasure in the project."),
    "receipt_id": _id("erasure-", "ID of an erasure receipt of the project."),
    "output_item_id": _id("outputitem_", "ID of an output item of the run."),
    "key_id": _id("key_", "ID of an API key."),
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


def complete(parameter: dict[str, Any]) -> None:
    """Add the description of a parameter whose route does not describe it."""
    text, more = _PARAMETERS.get(parameter["name"].lower(), ("", {}))
    parameter.setdefault("description", parameter["schema"].pop("description", text))
    if parameter["in"] == "path":
        parameter["schema"] |= more
