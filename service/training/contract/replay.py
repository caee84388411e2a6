"""What a later replay of a run needs: the losses and gradient norms of all steps, and the states
from which its last steps can be computed again.

Both are in the folder of the finished adapter: `steps.csv`, and `replay/{step}-{end}`, a checkpoint
of the step `step`, which is a few steps before the checkpoint of `end`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

STEPS_FILE: Final = "steps.csv"
REPLAY_FOLDER: Final = "replay"
WINDOW_STEPS: Final = 3
"""Steps between a state that is kept and the checkpoint after it."""


class StepRecord(NamedTuple):
    """The training loss of a step, and the norm of its gradient before clipping."""

    loss: float
    gradient_norm: float


def replay_points(checkpoints: Iterable[int]) -> dict[int, int]:
    """Return the steps whose states a replay can start from, with the checkpoint after each.

    Checkpoints that are too close to another one or to the start of the run have none: a replay
    from there is as short.
    """
    due = frozenset(checkpoints)
    found = {}
    for end in sorted(due):
        starts = (start for start in range(end - WINDOW_STEPS, end) if start > 0)
        start = next((start for start in starts if not due & set(range(start, end))), None)
        if start is not None:
            found[start] = end
    return found


def point_name(step: int, end: int) -> str:
    """Return the name of the folder with the state of a step."""
    return f"{step}-{end}"


def parse_point(name: str) -> tuple[int, int]:
    """Return the step of a folder's state, and that of the checkpoint after it."""
    step, _, end = name.partition("-")
    return int(step), int(end)


def write_steps(folder: Path, steps: Mapping[int, StepRecord]) -> None:
    """Write the steps of a run with all digits. Raises OSError."""
    with (folder / STEPS_FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", *StepRecord._fields])
        writer.writerows((step, *map(repr, record)) for step, record in sorted(steps.items()))


def read_steps(folder: Path) -> dict[int, StepRecord]:
    """Read the steps of a run; none if it was trained by a version that did not write them.

    Raises ValueError if the file is not what `write_steps` writes.
    """
    path = folder / STEPS_FILE
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        try:
            return {
                int(row["step"]): StepRecord(*(float(row[name]) for name in StepRecord._fields))
                for row in csv.DictReader(file)
            }
        except (KeyError, TypeError) as e:
            raise ValueError(f"{STEPS_FILE} lacks a column") from e
