"""Held-out prompts of a job with a grader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from service.evaluation.examples import Example
from service.jobs.evaluation.job_data import JobFiles
from service.training.data.held_out import held_out


@dataclass(frozen=True)
class Prompts:
    """Prompts as examples without an answer, and what the grader knows about each, by line."""

    examples: list[Example]
    items: dict[int, dict[str, Any]]
    trained: int


def read_prompts(files: JobFiles, share: float | None, seed: int) -> Prompts:
    """Read the prompts that the trainer held out. Raises TrainingFailure."""
    rows = [] if files.training is None else _rows(files.training)
    if files.validation is not None:
        found = list(enumerate(_rows(files.validation), 1))
        trained = len(rows)
    elif files.training is not None and share is not None:
        aside, _ = held_out(files.training, "reinforcement", share, seed, files.mixture)
        found = [(place + 1, rows[place]) for place in sorted(aside)]
        trained = len(rows) - len(found)
    else:
        found, trained = [], len(rows)
    return Prompts(
        [_example(line, row) for line, row in found],
        {line: row["item"] for line, row in found},
        trained,
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as lines:
        return [msgspec.json.decode(line) for line in lines if line.strip()]


def _example(line: int, row: dict[str, Any]) -> Example:
    return Example(line, tuple(row["messages"]), "", tools=tuple(row.get("tools") or ()))
