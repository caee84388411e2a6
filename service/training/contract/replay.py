"""What a later replay of a run needs: the losses and gradient norms of all steps, and states from
which its windows can be computed again.

Both are in the folder of the finished adapter: `steps.csv`, and `replay/{step}`, the checkpoint of
a step. A window is all steps from one of these states, or the start of the run, to the next one.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

STEPS_FILE: Final = "steps.csv"
REPLAY_FOLDER: Final = "replay"
WINDOW_STEPS: Final = 3
"""The least number of steps of a window, and that of the last one of a run."""


class StepRecord(NamedTuple):
    """The training loss of a step, and the norm of its gradient before clipping."""

    loss: float
    gradient_norm: float


class Window(NamedTuple):
    """The steps after `start` up to `end`."""

    start: int
    end: int


def windows_of(starts: Iterable[int], total_steps: int) -> list[Window]:
    """Return the windows of a run, of which these states are kept."""
    bounds = sorted({0, *(step for step in starts if step < total_steps), total_steps})
    return [Window(*pair) for pair in pairwise(bounds)]


def draw_windows(windows: Iterable[Window], count: int, seed: str) -> list[Window]:
    """Return `count` of the windows in their order: those with the least SHA-256 of "seed/end".

    Everyone who knows the seed can repeat this, and nobody can who does not.
    """

    def rank(window: Window) -> bytes:
        return hashlib.sha256(f"{seed}/{window.end}".encode()).digest()

    return sorted(sorted(windows, key=rank)[:count])


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
