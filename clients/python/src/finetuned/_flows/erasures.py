"""Erasures: rows found by their text in all files of the project, and removed."""

from __future__ import annotations

from typing import Literal

from finetuned._flows.common import Deadline, at, wait_until
from finetuned._http import Request
from finetuned._steps import Flow, fetch
from finetuned.types import ErasureObject


def create(
    value: str,
    *,
    type: Literal["text", "substring", "row_sha256"] = "text",
    apply: bool = False,
    cascade: bool = False,
) -> Flow[ErasureObject]:
    """Find the rows of all files with a text. `wait` then waits until the files are searched.

    `apply` replaces each file by one without the rows, and `cascade` also deletes the models
    trained on it.
    """
    body = {"match": {"type": type, "value": value}, "apply": apply, "cascade": cascade}
    return fetch(ErasureObject, Request("POST", at("organization", "erasure"), json=body))


def retrieve(erasure_id: str) -> Flow[ErasureObject]:
    """Retrieve an erasure: the files, lines and models that it found, and what it did."""
    return fetch(ErasureObject, Request("GET", at("organization", "erasure", erasure_id)))


def wait(erasure_id: str, *, timeout_s: float | None = None) -> Flow[ErasureObject]:
    """Wait until an erasure has ended. Check `status` on the result."""
    return wait_until(
        lambda found: found.status != "in_progress",
        lambda: retrieve(erasure_id),
        Deadline(timeout_s, f"The erasure {erasure_id}"),
        pause_s=lambda _: 0.5,
    )
