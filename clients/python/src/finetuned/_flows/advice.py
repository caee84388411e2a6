"""Advice before a training."""

from __future__ import annotations

from finetuned._flows.common import Deadline, at, wait_for_end, when_files_are_ready
from finetuned._flows.files import once
from finetuned._http import Request
from finetuned._steps import Flow, fetch
from finetuned.types import AdviceDeleted, AdviceObject

_ADVICE = "fine_tuning/advice"


def advise(*, model: str, training_file: str, timeout_s: float | None = None) -> Flow[AdviceObject]:
    """Ask whether a training is worth it, and wait for the advice. Check `status` on the result.

    Waits for the check of the file first. An engine must serve the base model.
    """
    body = {"model": model, "training_file": training_file}
    request = Request("POST", _ADVICE, json=body, headers=once(None))
    deadline = Deadline(timeout_s, f"The advice on {training_file}")
    found = yield from when_files_are_ready(lambda: fetch(AdviceObject, request), deadline)
    return (yield from wait_for_end(found, lambda: advice(found.id), deadline, pause_s=2.0))


def advice(advice_id: str) -> Flow[AdviceObject]:
    """Retrieve an advice: its status, and its result if it is completed."""
    return fetch(AdviceObject, Request("GET", at("fine_tuning", "advice", advice_id)))


def delete_advice(advice_id: str) -> Flow[AdviceDeleted]:
    """Delete an advice. If it is in progress, it ends."""
    return fetch(AdviceDeleted, Request("DELETE", at("fine_tuning", "advice", advice_id)))
