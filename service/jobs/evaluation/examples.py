"""Training and held-out rows of a job, as questions with a reference answer."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from service.config import Settings
from service.evaluation.examples import Example, examples_of
from service.models.catalogue import BaseModelEntry
from service.models.reasoning import ReasoningParsers
from service.training.contract.methods import MethodRows
from service.training.contract.mixture import MixedRows
from service.training.data.held_out import held_out

Row = dict[str, Any]


@dataclass(frozen=True)
class Data:
    """The data of a job.

    `training` are the examples that it learned from and `held_out` those that it did not. `rows`
    are all canonical rows, of which `training_rows` are those of `training_lines`. `skipped` counts
    held-out rows that cannot be asked as a chat, and `without_calls` those that were left out
    because tool calls cannot be read.
    """

    training: list[Example]
    held_out: list[Example]
    rows: list[Row]
    training_rows: list[Row]
    training_lines: list[int]
    skipped: int = 0
    without_calls: int = 0

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


def read_data(
    training: Path | None,
    validation: Path | None,
    *,
    row_format: MethodRows,
    share: float | None,
    seed: int,
    mixture: Sequence[MixedRows] = (),
) -> Data:
    """Read the examples of a job, and hold out the same rows as its trainer did.

    The held-out rows are those of the validation file, or a share of the training file, whose rows
    may come from the files of a `mixture`. Raises `TrainingFailure` if a file cannot be read.
    """
    rows: list[Row] = [] if training is None else _rows(training)
    given: list[Row] = []
    lines = list(range(1, len(rows) + 1))
    aside: frozenset[int] = frozenset()
    if validation is not None:
        given = _rows(validation)
        asked = examples_of(given)
    elif training is not None and share is not None:
        aside, _ = held_out(training, row_format, share, seed, mixture)
        asked = examples_of(
            [rows[place] for place in sorted(aside)], [p + 1 for p in sorted(aside)]
        )
    else:
        asked = []
    kept = [place for place in range(len(rows)) if place not in aside]
    learned, numbers = [rows[place] for place in kept], [lines[place] for place in kept]
    usable = [example for example in asked if _is_chat(example)]
    return Data(
        training=[e for e in examples_of(learned, numbers) if _is_chat(e)],
        held_out=usable,
        rows=[*rows, *given],
        training_rows=learned,
        training_lines=numbers,
        skipped=len(asked) - len(usable),
    )


def sample(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """Return at most `count` examples, chosen by the seed, in the order of their lines."""
    if len(examples) <= count:
        return list(examples)
    chosen = random.Random(seed).sample(range(len(examples)), count)  # noqa: S311 - no secret
    return [examples[place] for place in sorted(chosen)]


def answers_at_once(settings: Settings, entry: BaseModelEntry, data: Data) -> bool:
    """Return whether the base model thinks, but not in the rows."""
    thinks = ReasoningParsers(settings.reasoning_parser).thinks(entry)
    examples = (*data.training, *data.held_out)
    return bool(thinks) and not any(example.thought for example in examples)


def cluster_of(example: Example) -> str:
    """Return a key that is equal for examples with the same question."""
    return hashlib.sha256(example.question.strip().lower().encode()).hexdigest()[:16]


def _rows(path: Path) -> list[Row]:
    with path.open("rb") as lines:
        return [msgspec.json.decode(line) for line in lines if line.strip()]


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
