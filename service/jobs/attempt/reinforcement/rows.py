"""The rows of a run by number: what a grader knows about each."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from service.training.contract.protocol import Purpose
from service.training.contract.samples import RowRef


@dataclass(frozen=True)
class GradedRow:
    """What a grader knows about a row, and whether the model can call tools there."""

    item: dict[str, Any]
    has_tools: bool


class Rows:
    """Rows of the canonical files of a run, read one at a time."""

    def __init__(self, files: Mapping[Purpose, Path]) -> None:
        self._files = files
        self._starts: dict[Purpose, array[int]] = {}

    def __getitem__(self, place: RowRef) -> GradedRow:
        starts = self._starts.get(place.file)
        if starts is None:
            starts = self._starts[place.file] = _starts(self._files[place.file])
        with self._files[place.file].open("rb") as file:
            file.seek(starts[place.row])
            row = msgspec.json.decode(file.readline())
        return GradedRow(row.get("item") or {}, bool(row.get("tools")))


def _starts(path: Path) -> array[int]:
    starts = array("Q")
    with path.open("rb") as file:
        at = 0
        for line in file:
            starts.append(at)
            at += len(line)
    return starts
