"""Generations of training rows from documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from finetuned._flows.common import Deadline, at, listed, wait_until
from finetuned._flows.files import once
from finetuned._http import Request, body_of
from finetuned._steps import Flow, Items, fetch
from finetuned.types import DatasetGeneration, GenerationDeleted

Kind: TypeAlias = Literal["questions", "rewrites", "refusals"]
OnProgress: TypeAlias = Callable[[DatasetGeneration], object]
_DATASETS, _GENERATIONS = "datasets", "generations"
_UNFINISHED = ("queued", "in_progress", "cancelling")


def create(
    documents: Sequence[str],
    *,
    model: str,
    kinds: Sequence[Kind] | None = None,
    language: str | None = None,
    n: int | None = None,
    max_tokens_total: int | None = None,
    seed: int | None = None,
    metadata: dict[str, str] | None = None,
    idempotency_key: str | None = None,
) -> Flow[DatasetGeneration]:
    """Generate training rows from documents. `wait` then waits until the generation has ended.

    `documents` are IDs of files with the purpose `user_data`, and `n` is the number of rows wanted.
    """
    body = body_of(
        documents=list(documents),
        model=model,
        kinds=None if kinds is None else list(kinds),
        language=language,
        n=n,
        max_tokens_total=max_tokens_total,
        seed=seed,
        metadata=metadata,
    )
    request = Request("POST", at(_DATASETS, "generate"), json=body, headers=once(idempotency_key))
    return fetch(DatasetGeneration, request)


def list_generations(*, limit: int | None = None) -> Items[DatasetGeneration]:
    """List the project's generations, newest first."""
    return listed(DatasetGeneration, at(_DATASETS, _GENERATIONS), limit=limit)


def retrieve(generation_id: str) -> Flow[DatasetGeneration]:
    """Retrieve a generation: its status, its counters, and its file once it has ended."""
    return fetch(DatasetGeneration, Request("GET", at(_DATASETS, _GENERATIONS, generation_id)))


def wait(
    generation_id: str, *, on_progress: OnProgress | None = None, timeout_s: float | None = None
) -> Flow[DatasetGeneration]:
    """Wait until a generation has ended. Check `status` and `output_file_id` on the result.

    `on_progress` is called with the generation when its status or its counters change.
    """
    return wait_until(
        lambda found: found.status not in _UNFINISHED,
        lambda: retrieve(generation_id),
        Deadline(timeout_s, f"The generation {generation_id}"),
        pause_s=lambda _: 1.0,
        on_change=on_progress,
        watched=lambda found: (found.status, found.counts),
    )


def cancel(generation_id: str) -> Flow[DatasetGeneration]:
    """Cancel a generation. Its rows so far are kept. Raises Conflict if it has ended."""
    path = at(_DATASETS, _GENERATIONS, generation_id, "cancel")
    return fetch(DatasetGeneration, Request("POST", path))


def delete(generation_id: str) -> Flow[GenerationDeleted]:
    """Delete a generation that has ended. Its file is kept."""
    return fetch(GenerationDeleted, Request("DELETE", at(_DATASETS, _GENERATIONS, generation_id)))
