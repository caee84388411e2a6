"""Held-out prompts of a job with a grader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from service.grading.examples import Example
from service.jobs.evaluation.job_data import HeldOut, JobFiles, rows_of


@dataclass(frozen=True)
class Prompts:
    """The prompts `held_out` as examples without an answer, and what the grader knows about each.

    `items` has the latter by line, and `trained` is the number of training rows.
    """

    examples: list[Example]
    items: dict[int, dict[str, Any]]
    trained: int
    held_out: HeldOut


def read_prompts(files: JobFiles, held_out: HeldOut) -> Prompts:
    """Read the held-out prompts of a job."""
    rows = [] if files.training is None else list(rows_of(files.training))
    source = rows if held_out.source in (None, files.training) else list(rows_of(held_out.source))
    found = {place + 1: msgspec.json.decode(source[place]) for place in held_out.places}
    return Prompts(
        [_example(line, row) for line, row in found.items()],
        {line: row["item"] for line, row in found.items()},
        len(rows) - len(held_out.trained_without),
        held_out,
    )


def _example(line: int, row: dict[str, Any]) -> Example:
    return Example(line, tuple(row["messages"]), "", tools=tuple(row.get("tools") or ()))
