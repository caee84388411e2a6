"""The rows of a job, fetched from storage, and which of them judge its model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from service.core import ids
from service.datasets.contract.tasks import OverlapSpec
from service.files.curation.dataset_process import DatasetProcess, DatasetTaskFailed, fetch_rows
from service.files.records import FileRecord, Files
from service.jobs.planning.mixture import build_mixture, join_rows, training_files
from service.jobs.records import JobRecord
from service.training.contract.methods import METHODS, MethodRows
from service.training.contract.spec import MixedRows
from service.training.data.held_out import held_out, rows_for_test

log = logging.getLogger(__name__)


class FileGone(Exception):
    """A file of the job was deleted."""

    def __init__(self, file_id: str) -> None:
        super().__init__(file_id)
        self.file_id = file_id


@dataclass(frozen=True)
class JobFiles:
    """The rows of a job on disk: those of all training files together, and the validation rows."""

    training: Path | None = None
    mixture: tuple[MixedRows, ...] = ()
    validation: Path | None = None


@dataclass(frozen=True)
class HeldOut:
    """The held-out rows of a job that judge its model: the rows of `source` at the `places`.

    `trained_without` are the places of the training rows that were not trained on. `selecting` is
    the number of held-out rows that chose the model, and so cannot judge it. `overlapping` counts
    rows that are left out because the training rows contain them; None if that is unknown.
    """

    source: Path | None = None
    places: tuple[int, ...] = ()
    trained_without: frozenset[int] = frozenset()
    selecting: int = 0
    overlapping: int | None = None


async def fetch_held_out(
    job: JobRecord, files: Files, folder: Path, dataset_process: DatasetProcess | None = None
) -> tuple[JobFiles, HeldOut]:
    """Download the job's files to `folder`, and find the rows that judge its model.

    With a `dataset_process`, rows that the training rows contain are left out if they can be
    compared. Raises FileGone, DatasetTaskFailed and TrainingFailure.
    """
    found = await fetch_files(job, files, folder)
    held_out = await asyncio.to_thread(
        held_out_rows,
        found,
        row_format=METHODS[job.method].row_format,
        share=job.hyperparameters.validation_share,
        seed=job.seed,
        keeps_test_rows=job.keeps_test_rows,
    )
    if dataset_process is not None:
        held_out = await without_overlap(held_out, found.training, dataset_process, folder)
    return found, held_out


def held_out_rows(
    files: JobFiles,
    *,
    row_format: MethodRows,
    share: float | None,
    seed: int,
    keeps_test_rows: bool = False,
) -> HeldOut:
    """Return the rows that the trainer held out and did not choose by. Raises TrainingFailure."""
    aside: frozenset[int] = frozenset()
    if files.validation is not None:
        source, param = files.validation, "validation_file"
        every = frozenset(range(sum(1 for _ in rows_of(source))))
    elif files.training is not None and share is not None:
        source, param = files.training, "training_file"
        every = aside = held_out(source, row_format, share, seed, files.mixture)[0]
    else:
        return HeldOut()
    tested = (
        rows_for_test(source, row_format, seed, every, param=param) if keeps_test_rows else every
    )
    return HeldOut(source, tuple(sorted(tested)), aside, len(every) - len(tested))


async def without_overlap(
    found: HeldOut, training: Path | None, dataset_process: DatasetProcess, folder: Path
) -> HeldOut:
    """Leave out the rows that the training rows contain, exactly or nearly."""
    if training is None or found.source is None or not found.places:
        return found
    held, trained = folder / "tested.jsonl", training
    asked = frozenset(found.places)
    await asyncio.to_thread(_write_rows, found.source, held, lambda place: place in asked)
    if found.trained_without:
        trained = folder / "trained.jsonl"
        await asyncio.to_thread(
            _write_rows, training, trained, lambda place: place not in found.trained_without
        )
    spec = OverlapSpec(path=held, training=trained, result=folder / "overlap.json")
    try:
        lines = (await dataset_process.run(spec)).lines
    except DatasetTaskFailed as e:
        log.warning("the held-out rows were not compared with the training rows: %s", e.code)
        return found
    kept = tuple(place for line, place in enumerate(found.places, 1) if line not in lines)
    return replace(found, places=kept, overlapping=len(lines))


def rows_of(path: Path) -> Iterator[bytes]:
    """Yield the rows of a canonical file as lines."""
    with path.open("rb") as lines:
        yield from (line for line in lines if line.strip())


def _write_rows(source: Path, to: Path, is_wanted: Callable[[int], bool]) -> None:
    with to.open("wb") as out:
        for place, row in enumerate(rows_of(source)):
            if is_wanted(place):
                out.write(row.rstrip(b"\n") + b"\n")


async def fetch_files(job: JobRecord, files: Files, folder: Path) -> JobFiles:
    """Download the job's files to `folder`. Raises FileGone and DatasetTaskFailed."""
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
    return joined, build_mixture(given, [record for record, _ in found])


async def _fetch(job: JobRecord, file_id: str, files: Files, path: Path) -> tuple[FileRecord, Path]:
    file = await files.get(job.project_id, file_id, ids.now_s())
    if file is None:
        raise FileGone(file_id)
    return file, await fetch_rows(files.storage, file, path)
