"""Training files of a job: `training_file`, and those that are mixed with it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.files.records import FileRecord
from service.jobs.records import JobRecord
from service.training.contract.spec import MixedRows


@dataclass(frozen=True)
class TrainingFile:
    """A training file of a job, the field of the request that names it, and its weight."""

    id: str
    param: str
    weight: float = 1.0


def training_files(job: JobRecord) -> list[TrainingFile]:
    """Return the training files of a job; `training_file` comes first."""
    mixed = [
        TrainingFile(mixed.file, f"mixed_files.{place}.file", mixed.weight)
        for place, mixed in enumerate(job.mixed_files)
    ]
    return [TrainingFile(job.training_file, "training_file"), *mixed]


def mixture_of(
    files: Sequence[TrainingFile], records: Sequence[FileRecord]
) -> tuple[MixedRows, ...]:
    """Return the mixture of the files, in their order; empty if there is only one file."""
    if len(files) == 1:
        return ()
    return tuple(
        MixedRows(file=file.id, rows=record.rows or 0, weight=file.weight)
        for file, record in zip(files, records, strict=True)
    )


def join_rows(parts: Sequence[Path], to: Path) -> Path:
    """Write the rows of several canonical files to one, in their order, and return it."""
    if len(parts) == 1:
        return parts[0]
    with to.open("wb") as joined:
        for part in parts:
            with part.open("rb") as rows:
                shutil.copyfileobj(rows, joined, 1024 * 1024)
            part.unlink()
    return to
