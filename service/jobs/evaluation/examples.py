"""Training and held-out rows of a job, as questions with a reference answer."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from service.config import Settings
from service.files.curation.dataset_process import DatasetProcess
from service.files.records import Files
from service.grading.examples import Example, examples_of
from service.jobs.evaluation.job_data import HeldOut, fetch_held_out, rows_of
from service.jobs.records import JobRecord
from service.models.catalogue import BaseModelEntry
from service.models.parsers import ReasoningParsers

Row = dict[str, Any]


@dataclass(frozen=True)
class Data:
    """The data of a job.

    `training` are the examples that it learned from and `held_out` those that it did not. `rows`
    are all canonical rows, of which `training_rows` are those of `training_lines`. `skipped` counts
    held-out rows that cannot be asked as a chat, and `without_calls` those that were left out
    because tool calls cannot be read. `selecting` and `overlapping` are those of `HeldOut`.
    """

    training: list[Example]
    held_out: list[Example]
    rows: list[Row]
    training_rows: list[Row]
    training_lines: list[int]
    skipped: int = 0
    without_calls: int = 0
    selecting: int = 0
    overlapping: int | None = None

    def without_tools(self) -> Data:
        """Return the data without examples and rows that use tools."""
        held_out = [one for one in self.held_out if not one.uses_tools]
        return replace(
            self,
            training=[one for one in self.training if not one.uses_tools],
            held_out=held_out,
            rows=[row for row in self.rows if not _uses_tools(row)],
            without_calls=len(self.held_out) - len(held_out),
        )


async def fetch_data(
    job: JobRecord, files: Files, folder: Path, dataset_process: DatasetProcess | None = None
) -> Data:
    """Download the job's files to `folder`, and read their rows.

    With a `dataset_process`, held-out rows that the training rows contain are left out. Raises
    FileGone, DatasetTaskFailed and TrainingFailure.
    """
    found, held_out = await fetch_held_out(job, files, folder, dataset_process)
    return await asyncio.to_thread(read_data, found.training, held_out)


def read_data(training: Path | None, held_out: HeldOut) -> Data:
    """Read the examples of a job, of which `held_out` judge its model."""
    rows: list[Row] = [] if training is None else _rows(training)
    is_apart = held_out.source is not None and held_out.source != training
    given = _rows(held_out.source) if is_apart and held_out.source else []
    source = given if is_apart else rows
    asked = examples_of(
        [source[place] for place in held_out.places], [place + 1 for place in held_out.places]
    )
    kept = [place for place in range(len(rows)) if place not in held_out.trained_without]
    learned, numbers = [rows[place] for place in kept], [place + 1 for place in kept]
    usable = [example for example in asked if _is_chat(example)]
    return Data(
        training=[e for e in examples_of(learned, numbers) if _is_chat(e)],
        held_out=usable,
        rows=[*rows, *given],
        training_rows=learned,
        training_lines=numbers,
        skipped=len(asked) - len(usable),
        selecting=held_out.selecting,
        overlapping=held_out.overlapping,
    )


def sample(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """Return at most `count` examples, chosen by the seed, in the order of their lines."""
    if len(examples) <= count:
        return list(examples)
    chosen = random.Random(seed).sample(range(len(examples)), count)  # noqa: S311 - no secret
    return [examples[place] for place in sorted(chosen)]


def answers_at_once(settings: Settings, entry: BaseModelEntry, data: Data) -> bool:
    """Return whether the base model thinks, but not in the rows."""
    thinks = ReasoningParsers(settings.reasoning_parser).are_needed(entry)
    examples = (*data.training, *data.held_out)
    return bool(thinks) and not any(example.thought for example in examples)


def cluster_of(example: Example) -> str:
    """Return a key that is equal for examples with the same question."""
    return hashlib.sha256(example.question.strip().lower().encode()).hexdigest()[:16]


def _rows(path: Path) -> list[Row]:
    return [msgspec.json.decode(row) for row in rows_of(path)]


def _uses_tools(row: Row) -> bool:
    if "text" in row:
        return False
    owner = row if "messages" in row else row["input"]
    messages = [*owner["messages"], *row.get("preferred_output", ())]
    return bool(owner.get("tools")) or any(
        message["role"] == "tool" or message.get("tool_calls") for message in messages
    )


def _is_chat(example: Example) -> bool:
    """Return whether an engine can be asked the question. Tools in use must be declared."""
    has_answer = bool(example.answer.strip() or example.tool_calls)
    return has_answer and bool(example.prompt) and bool(example.tools or not example.uses_tools)
