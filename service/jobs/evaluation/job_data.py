"""Fetches the rows of a job, and finds the held-out rows that can judge its model.

A held-out row cannot judge the model if it chose the checkpoint, or if the training rows contain
it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from service.config import Settings
from service.core import clock
from service.datasets.contract.tasks import OverlapSpec
from service.files.curation.dataset_process import DatasetProcess, DatasetTaskFailed, fetch_rows
from service.files.records import FileRecord, Files
from service.grading.examples import Example, Row, examples_of
from service.jobs.planning.mixture import build_mixture, join_rows, training_files
from service.jobs.records import JobRecord
from service.models.catalogue import BaseModelEntry
from service.models.parsers import ReasoningParsers
from service.training.contract.methods import METHODS, MethodRows
from service.training.contract.spec import MixedRows
from service.training.data.held_out import choose_held_out_rows, choose_test_rows
from service.verdict.results import Statement
from service.verdict.statements import state

log = logging.getLogger(__name__)


class FileGone(Exception):
    """A file of the job was deleted."""

    def __init__(self, file_id: str) -> None:
        super().__init__(f"The file {file_id} was deleted.")
        self.code = "file_not_found"
        self.message = str(self)


@dataclass(frozen=True)
class JobFiles:
    """A job's rows on disk. All training files are joined into one."""

    training: Path | None = None
    mixture: tuple[MixedRows, ...] = ()
    validation: Path | None = None


@dataclass(frozen=True)
class HeldOut:
    """The held-out rows of a job that can judge its model: the rows of `source` at `places`.

    `trained_without` are the places of the training rows that were not trained on. `selecting` is
    the number of held-out rows that chose the model, and so cannot judge it. `overlapping` is the
    number of rows left out because the training rows contain them; None if that is unknown.
    """

    source: Path | None = None
    places: tuple[int, ...] = ()
    trained_without: frozenset[int] = frozenset()
    selecting: int = 0
    overlapping: int | None = None


async def fetch_held_out(
    job: JobRecord, files: Files, folder: Path, dataset_process: DatasetProcess | None = None
) -> tuple[JobFiles, HeldOut]:
    """Download the job's files to `folder`, and find the rows that can judge its model.

    `dataset_process` compares them with the training rows; without it, no overlapping row is left
    out. Raises FileGone, DatasetTaskFailed and TrainingFailure.
    """
    found = await _fetch_files(job, files, folder)
    held_out = await asyncio.to_thread(
        find_held_out,
        found,
        row_format=METHODS[job.method].row_format,
        share=job.hyperparameters.validation_share,
        seed=job.seed,
        keeps_test_rows=job.keeps_test_rows,
    )
    if dataset_process is not None:
        held_out = await _drop_overlap(held_out, found.training, dataset_process, folder)
    return found, held_out


def find_held_out(
    files: JobFiles,
    *,
    row_format: MethodRows,
    share: float | None,
    seed: int,
    keeps_test_rows: bool = False,
) -> HeldOut:
    """Find the rows that the trainer neither trained on nor chose by. Raises TrainingFailure."""
    aside: frozenset[int] = frozenset()
    if files.validation is not None:
        source, param = files.validation, "validation_file"
        every = frozenset(range(sum(1 for _ in read_rows(source))))
    elif files.training is not None and share is not None:
        source, param = files.training, "training_file"
        every = aside = choose_held_out_rows(source, row_format, share, seed, files.mixture)[0]
    else:
        return HeldOut()
    tested = (
        choose_test_rows(source, row_format, seed, every, param=param) if keeps_test_rows else every
    )
    return HeldOut(source, tuple(sorted(tested)), aside, len(every) - len(tested))


async def _drop_overlap(
    found: HeldOut, training: Path | None, dataset_process: DatasetProcess, folder: Path
) -> HeldOut:
    """Leave out the rows that the training rows contain, exactly or nearly.

    Returns them all if they cannot be compared.
    """
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


def read_rows(path: Path) -> Iterator[bytes]:
    """Yield the rows of a canonical file as lines."""
    with path.open("rb") as lines:
        yield from (line for line in lines if line.strip())


def _write_rows(source: Path, to: Path, is_wanted: Callable[[int], bool]) -> None:
    with to.open("wb") as out:
        for place, row in enumerate(read_rows(source)):
            if is_wanted(place):
                out.write(row.rstrip(b"\n") + b"\n")


async def _fetch_files(job: JobRecord, files: Files, folder: Path) -> JobFiles:
    """Download the job's files to `folder`. A job that has a validation file can do without the
    training files. Raises FileGone and DatasetTaskFailed.
    """
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
    file = await files.get(job.project_id, file_id, clock.now_s())
    if file is None:
        raise FileGone(file_id)
    return file, await fetch_rows(files.storage, file, path)


@dataclass(frozen=True)
class Data:
    """The rows of a job as examples.

    The model was trained on `training` and is judged by `held_out`. `rows` are all canonical rows,
    and `training_rows` those that were trained on, by line. `skipped` counts held-out rows that
    cannot be asked as a chat, and `without_calls` those left out because tool calls cannot be read.
    `selecting` and `overlapping` are as in `HeldOut`.
    """

    training: list[Example]
    held_out: list[Example]
    rows: list[Row]
    training_rows: dict[int, Row]
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


async def fetch_data(job: JobRecord, files: Files, folder: Path) -> Data:
    """Download the job's files to `folder`, and read their rows. Errors are those of
    `fetch_held_out`.
    """
    found, held_out = await fetch_held_out(job, files, folder)
    return await asyncio.to_thread(read_data, found, held_out)


def read_data(files: JobFiles, held_out: HeldOut) -> Data:
    """Read the rows of a job, of which `held_out` can judge its model."""
    rows = [] if files.training is None else _decode_rows(files.training)
    validation: list[Row] = []
    if held_out.source is not None and held_out.source != files.training:
        validation = _decode_rows(held_out.source)
    source = validation or rows
    asked = examples_of(
        [source[place] for place in held_out.places], [place + 1 for place in held_out.places]
    )
    usable = [example for example in asked if _is_chat(example)]
    trained = {
        place + 1: row for place, row in enumerate(rows) if place not in held_out.trained_without
    }
    return Data(
        training=[e for e in examples_of(trained.values(), list(trained)) if _is_chat(e)],
        held_out=usable,
        rows=[*rows, *validation],
        training_rows=trained,
        skipped=len(asked) - len(usable),
        selecting=held_out.selecting,
        overlapping=held_out.overlapping,
    )


def sample(examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """Draw at most `count` examples by the seed, and return them in the order of their lines."""
    if len(examples) <= count:
        return list(examples)
    chosen = random.Random(seed).sample(range(len(examples)), count)  # noqa: S311 - no secret
    return [examples[place] for place in sorted(chosen)]


def describe_sample(
    rows: Sequence[Example], held_out: Sequence[Example], selecting: int, seed: int
) -> list[Statement]:
    """Say which of the held-out rows were evaluated, if not all."""
    notes = []
    if selecting:
        notes.append(state("rows_chose_model", rows=selecting))
    if len(rows) < len(held_out):
        figures = {"rows": len(rows), "held_out_rows": len(held_out), "seed": seed}
        notes.append(state("rows_sampled", figures))
    return notes


def only_model_thinks(settings: Settings, entry: BaseModelEntry, data: Data) -> bool:
    """Return whether the base model is a reasoning model, but the rows hold no reasoning."""
    thinks = ReasoningParsers(settings.reasoning_parser).are_needed(entry)
    examples = (*data.training, *data.held_out)
    return bool(thinks) and not any(example.thought for example in examples)


def _decode_rows(path: Path) -> list[Row]:
    return [msgspec.json.decode(row) for row in read_rows(path)]


def _uses_tools(row: Row) -> bool:
    if "text" in row:
        return False
    owner = row if "messages" in row else row["input"]
    messages = [*owner["messages"], *row.get("preferred_output", ())]
    return bool(owner.get("tools")) or any(
        message["role"] == "tool" or message.get("tool_calls") for message in messages
    )


def _is_chat(example: Example) -> bool:
    """Return whether an engine can be asked for the answer. Tools in use must be declared."""
    has_answer = bool(example.answer.strip() or example.tool_calls)
    return has_answer and bool(example.prompt) and bool(example.tools or not example.uses_tools)
