"""The rows of a job, fetched from storage."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from service.core import ids
from service.curation.scratch import fetch_rows
from service.files.records import FileRecord, Files
from service.jobs.evaluation.examples import Data, read_data
from service.jobs.mixture import join_rows, mixture_of, training_files
from service.jobs.records import JobRecord
from service.training.contract.methods import METHODS
from service.training.contract.mixture import MixedRows


class FileGone(Exception):
    """A file of the job was deleted."""

    def __init__(self, file_id: str) -> None:
        super().__init__(file_id)
        self.file_id = file_id


@dataclass(frozen=True)
class JobFiles:
    """The rows of a job on disk: those of all training files together, and the validation rows."""

    training: Path | None
    mixture: tuple[MixedRows, ...]
    validation: Path | None


async def fetch_data(job: JobRecord, files: Files, folder: Path) -> Data:
    """Download the job's files to `folder`, and read their rows.

    Raises FileGone, DeskFailed and TrainingFailure.
    """
    found = await fetch_files(job, files, folder)
    return read_data(
        found.training,
        found.validation,
        mixture=found.mixture,
        row_format=METHODS[job.method].row_format,
        share=job.hyperparameters.validation_share,
        seed=job.seed,
    )


async def fetch_files(job: JobRecord, files: Files, folder: Path) -> JobFiles:
    """Download the job's files to `folder`. Raises FileGone and DeskFailed."""
    training: Path | None = None
    mixture: tuple[MixedRows, ...] = ()
    validation: Path | None = None
    try:
        training, mixture = await _fetch_training(job, files, folder)
    except FileGone:
        if job.validation_file is None:
            raise
    if job.validation_file is not None:
        _, validation = await _fetch(job, job.validation_file, files, folder / "validation.jsonl")
    return JobFiles(training, mixture, validation)


async def _fetch_training(
    job: JobRecord, files: Files, folder: Path
) -> tuple[Path, tuple[MixedRows, ...]]:
    given = training_files(job)
    found = [
        await _fetch(job, file.id, files, folder / f"training-{place}.jsonl")
        for place, file in enumerate(given)
    ]
    joined = await asyncio.to_thread(
        join_rows, [path for _, path in found], folder / "training.jsonl"
    )
    return joined, mixture_of(given, [record for record, _ in found])


async def _fetch(job: JobRecord, file_id: str, files: Files, path: Path) -> tuple[FileRecord, Path]:
    file = await files.get(job.project_id, file_id, ids.now_s())
    if file is None:
        raise FileGone(file_id)
    return file, await fetch_rows(files.storage, file, path)
