"""The rows of a job, fetched from storage."""

from __future__ import annotations

from pathlib import Path

from service.core import ids
from service.curation.scratch import fetch_rows
from service.files.records import Files
from service.jobs.evaluation.examples import Data, read_data
from service.jobs.records import JobRecord
from service.training.contract.methods import METHODS


class FileGone(Exception):
    """A file of the job was deleted."""

    def __init__(self, file_id: str) -> None:
        super().__init__(file_id)
        self.file_id = file_id


async def fetch_data(job: JobRecord, files: Files, folder: Path) -> Data:
    """Download the job's files to `folder`, and read their rows.

    Raises FileGone, DeskFailed and TrainingFailure.
    """
    training = await _fetch(job, job.training_file, files, folder / "training.jsonl")
    validation = None
    if job.validation_file is not None:
        validation = await _fetch(job, job.validation_file, files, folder / "validation.jsonl")
    missing = job.validation_file or job.training_file
    if (training if job.validation_file is None else validation) is None:
        raise FileGone(missing)
    return read_data(
        training,
        validation,
        row_format=METHODS[job.method].row_format,
        share=job.hyperparameters.validation_share,
        seed=job.seed,
    )


async def _fetch(job: JobRecord, file_id: str, files: Files, path: Path) -> Path | None:
    file = await files.get(job.project_id, file_id, ids.now_s())
    return None if file is None else await fetch_rows(files.storage, file, path)
