"""Stored chats. OpenAI's client lists, reads, describes and deletes single ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from finetuned._flows.common import at
from finetuned._http import Request, body_of
from finetuned._steps import Flow, fetch
from finetuned.types import FileObject, StoredChatsDeleted


def make_file(
    *,
    model: str | None = None,
    created_after: int | datetime | None = None,
    created_before: int | datetime | None = None,
    metadata: Mapping[str, str] | None = None,
    limit: int | None = None,
    filename: str | None = None,
    expires_in_seconds: int | None = None,
) -> Flow[FileObject]:
    """Write stored chats to a training file, one row for each. `files.wait` waits for its check.

    If there are more than `limit`, by default 10,000, the newest are taken.
    """
    body = body_of(
        model=model,
        created_after=_seconds(created_after),
        created_before=_seconds(created_before),
        metadata=None if metadata is None else dict(metadata),
        limit=limit,
        filename=filename,
    )
    if expires_in_seconds is not None:
        body["expires_after"] = {"anchor": "created_at", "seconds": expires_in_seconds}
    return fetch(FileObject, Request("POST", at("datasets", "chat_completions"), json=body))


def delete_all(*, model: str | None = None) -> Flow[StoredChatsDeleted]:
    """Delete all stored chats of the project, or those of a model. Training files stay."""
    params = body_of(model=model)
    return fetch(StoredChatsDeleted, Request("DELETE", at("chat", "completions"), params=params))


def _seconds(time: int | datetime | None) -> int | None:
    return int(time.timestamp()) if isinstance(time, datetime) else time
