"""Files of a job: checks, row lengths, and the overlap of validation rows with training rows."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import msgspec

from service.config import Settings
from service.core import ids
from service.datasets.contract.tasks import Measures, OverlapSpec, SharedRows
from service.files.curation.dataset_process import DatasetProcess, fetch_rows, other_file
from service.files.curation.measure import measure_task, measures_of
from service.files.curation.records import Task, TaskKind, Tasks, TaskState
from service.files.records import FileRecord, Files, FileStatus
from service.jobs.graders import find_misfits, parse_grader
from service.jobs.planning.hyperparameters import Data
from service.jobs.records import JobFailure, JobRecord
from service.models.catalogue import BaseModelEntry
from service.training.contract.methods import METHODS
from service.training.contract.spec import MixedRows, drawn_per_epoch

_TEXTS_ALONE = (
    "texts only: the model may chat worse than before; to avoid that, mix some chats with the "
    "texts (mixed_files)"
)


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


def build_mixture(
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


class InProgress(Exception):
    """A file is still being checked, or its rows are being measured."""


class CannotTrain(Exception):
    """The base model cannot be trained on the files; `failure` has the reason."""

    def __init__(self, code: str, message: str, param: str) -> None:
        super().__init__(message)
        self.failure = JobFailure(code=code, message=message, param=param)


@dataclass(frozen=True)
class Part:
    """A training file of a job: its rows, and their lengths if they can be measured."""

    file: TrainingFile
    rows: int
    measures: Measures | None
    is_cut: bool = False  # into samples of the maximum length, instead of being truncated

    @property
    def drawn(self) -> int:
        """Number of rows that an epoch draws."""
        return drawn_per_epoch(self.rows, self.file.weight)

    def samples(self, max_seq_length: int) -> int:
        """Return the samples per epoch: one for each row, unless long rows are cut."""
        if not self.is_cut or self.measures is None:
            return self.drawn
        lengths = self.measures.percentiles[1:]
        parts = sum(-(-max(tokens, 1) // max_seq_length) for tokens in lengths)
        return drawn_per_epoch(round(self.rows * parts / len(lengths)), self.file.weight)

    def tokens(self, max_seq_length: int) -> int:
        """Return the tokens per epoch with truncated rows; without measures, the upper bound."""
        if self.measures is None:
            return self.drawn * max_seq_length
        lengths = self.measures.percentiles[1:]
        kept = sum(min(tokens, max_seq_length) for tokens in lengths)
        share = 1.0 if self.is_cut else kept / max(sum(lengths), 1)
        return round(self.measures.tokens * share * self.drawn / max(self.rows, 1))


@dataclass(frozen=True)
class Inputs:
    """Training files of a job."""

    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()  # on the fit of grader and rows

    @property
    def rows(self) -> int:
        """Number of rows that an epoch draws."""
        return sum(part.drawn for part in self.parts)

    @property
    def longest(self) -> int | None:
        """Number of tokens in the longest row, or None if unknown."""
        lengths = [part.measures.longest for part in self.parts if part.measures]
        return max(lengths) if len(lengths) == len(self.parts) else None

    @property
    def data(self) -> Data:
        """Size of the training files, for resolving `auto`."""
        return Data(self.rows, self.longest, self._p95())

    @property
    def reasons(self) -> tuple[str, ...]:
        """Rows that an epoch draws from each of several files, and notes on the files."""
        if all(part.is_cut for part in self.parts):
            return (*self._drawn, _TEXTS_ALONE)
        return (*self._drawn, *self.notes)

    @property
    def _drawn(self) -> tuple[str, ...]:
        if len(self.parts) == 1:
            return ()
        drawn = ", ".join(
            f"{part.drawn:,} of {part.file.id} ({part.rows:,} rows, weight {part.file.weight:g})"
            for part in self.parts
        )
        return (f"mixture → {self.rows:,} rows per epoch: {drawn}",)

    def samples(self, max_seq_length: int) -> int:
        """Return the samples per epoch."""
        return sum(part.samples(max_seq_length) for part in self.parts)

    def tokens(self, max_seq_length: int) -> int:
        """Return the tokens per epoch with truncated rows; without measures, the upper bound."""
        return sum(part.tokens(max_seq_length) for part in self.parts)

    def _p95(self) -> int | None:
        """Return the 95th percentile of tokens per drawn row, or None if unknown."""
        if self.longest is None:
            return None
        # One value for each percent of a file's rows, weighted by the rows that are drawn.
        lengths = sorted(
            (tokens, part.drawn / 100)
            for part in self.parts
            if part.measures
            for tokens in part.measures.percentiles[1:]
        )
        reached = accumulate(rows for _, rows in lengths)
        return next(
            tokens
            for (tokens, _), rows in zip(lengths, reached, strict=True)
            if rows >= 0.95 * self.rows - 1e-6
        )


class InputFiles:
    """Checks of the files of jobs. The first call for a file and a base model measures its rows."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._min_examples = settings.min_examples

    async def check(self, job: JobRecord, entry: BaseModelEntry) -> Inputs:
        """Return the inputs of a job. Raises CannotTrain or InProgress."""
        files = training_files(job)
        records = [await self._checked(job, file.id, file.param) for file in files]
        rows = records[0].rows or 0
        if rows < self._min_examples:
            raise CannotTrain(
                "invalid_n_examples",
                f"Training file has {rows} example(s), but must have at least "
                f"{self._min_examples} examples",
                "training_file",
            )
        if job.validation_file is not None:
            await self._checked(job, job.validation_file, "validation_file")
        parts = [
            Part(
                file,
                record.rows or 0,
                await self._measured(record, entry),
                is_cut=METHODS[job.method].cuts_rows and record.row_format == "text",
            )
            for file, record in zip(files, records, strict=True)
        ]
        notes = await self._grader_notes(job, records[0])
        for part in parts:
            refusal = _tools_refusal(part.measures, job.model)
            if refusal is not None:
                raise CannotTrain("tools_not_supported", refusal, "model")
        return Inputs(tuple(parts), notes)

    async def check_overlap(self, job: JobRecord) -> tuple[str, ...]:
        """Say how many rows of the validation file are training rows too, if any are.

        Raises CannotTrain if all are, and InProgress.
        """
        if job.validation_file is None:
            return ()
        training = [await self._checked(job, one.id, one.param) for one in training_files(job)]
        validation = await self._checked(job, job.validation_file, "validation_file")
        task = await self._tasks.get_or_create(_overlap_task(validation, training))
        if task.state is TaskState.IN_PROGRESS:
            raise InProgress(f"The rows of {validation.id} are still compared with the training.")
        found = _read_overlap(task)
        if found is None:
            return (
                "The rows of the validation file could not be compared with the training rows.",
            )
        if found.shared == found.rows:
            raise CannotTrain(
                "invalid_validation_file",
                f"All {found.rows} rows of the validation file {validation.id} are in the training "
                "data, so they cannot show what the model does on rows that it has not seen. Give "
                "other rows, or set 'validation_share' instead of the file.",
                "validation_file",
            )
        if not found.shared:
            return ()
        return (found.describe(is_evaluated=METHODS[job.method].is_evaluated),)

    async def _grader_notes(self, job: JobRecord, file: FileRecord) -> tuple[str, ...]:
        """Return what some rows lack for the grader. Raises CannotTrain if all lack it."""
        if job.grader is None:
            return ()
        found = await find_misfits(parse_grader(job.grader), self._files.storage, file)
        for misfit in found:
            if misfit.is_everywhere:
                raise CannotTrain("invalid_grader", str(misfit), misfit.param)
        return tuple(map(str, found))

    async def _checked(self, job: JobRecord, file_id: str, param: str) -> FileRecord:
        record = await self._files.get(job.project_id, file_id, ids.now_s())
        if record is None:
            raise CannotTrain("file_not_found", f"The file {file_id} was deleted.", param)
        if record.status is FileStatus.UPLOADED:
            raise InProgress(f"The file {file_id} is still being checked.")
        code = f"invalid_{param}" if param == "validation_file" else "invalid_training_file"
        if record.status is FileStatus.ERROR:
            message = record.status_details or "The file is invalid"
            raise CannotTrain(code, message, param)
        method = METHODS[job.method]
        taken = [method.row_format, *(method.mixed_formats if param.startswith("mixed") else ())]
        if record.row_format not in taken:
            raise CannotTrain(
                code,
                f"The file {file_id} holds rows of the {record.row_format} format; the method "
                f"'{job.method}' needs the {' or '.join(taken)} format.",
                param,
            )
        return record

    async def _measured(self, file: FileRecord, entry: BaseModelEntry) -> Measures | None:
        """Return the row lengths in the model's tokens, or None if they cannot be measured."""
        task = await self._tasks.get_or_create(measure_task(file, entry))
        if task.state is TaskState.IN_PROGRESS:
            raise InProgress(
                f"The rows of {file.id} are still being measured in the tokens of {entry.id}."
            )
        return measures_of(task)


def _tools_refusal(measured: Measures | None, model: str) -> str | None:
    """Return why the base model cannot be trained on the measured rows, with advice.

    Returns None if it can be trained on them, or if that is unknown.
    """
    if measured is None or not measured.tool_rows or measured.takes_tools is not False:
        return None
    return (
        f"{measured.tool_rows} of {measured.rows} rows of the training file contain tool calls or "
        f"results, which the chat template of the base model {model} does not render: the model "
        f"would learn to give empty answers. Choose a base model whose chat template "
        "supports tools, or remove these rows. The operator can also add such a template to the "
        "base model's folder."
    )


class OverlapCounts(msgspec.Struct, frozen=True):
    """Of `rows` validation rows, how many equal a training row, mean the same as one, or are part
    of one.
    """

    rows: int
    exact: int
    near: int
    contained: int

    @property
    def shared(self) -> int:
        """Number of validation rows that the training files contain."""
        return self.exact + self.near + self.contained

    def describe(self, *, is_evaluated: bool) -> str:
        """Return the counts, and what they mean for the evaluation or for the held-out loss."""
        so = (
            "the evaluation leaves them out"
            if is_evaluated
            else "the loss on them does not show what the model has learned"
        )
        return (
            f"{self.shared} of {self.rows} rows of the validation file are in the training data "
            f"({self.exact} equal, {self.near} nearly equal, {self.contained} as a part of a "
            f"conversation): {so}."
        )


def _overlap_task(validation: FileRecord, training: Sequence[FileRecord]) -> Task:
    """Return the task that compares a checked validation file with checked training files."""
    view = msgspec.json.encode([file.meaning for file in (validation, *training)])
    return Task(
        id=ids.OVERLAP + hashlib.sha256(view).hexdigest()[:32],
        project_id=validation.project_id,
        created_at=ids.now_s(),
        file_id=validation.id,
        kind=TaskKind.OVERLAP,
        options={"training": [file.id for file in training]},
    )


def _read_overlap(task: Task) -> OverlapCounts | None:
    """Return the counts of a completed task; None if it has not completed."""
    done = task.state is TaskState.COMPLETED and task.result is not None
    return msgspec.convert(task.result, OverlapCounts) if done else None


class CountOverlap:
    """Executes the tasks that compare validation rows with training rows."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._dataset_process = DatasetProcess(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Compare the canonical rows and finish the task. Raises DatasetTaskFailed."""
        parts = []
        for place, file_id in enumerate(task.options["training"]):
            record = await other_file(self._files, task.project_id, file_id, "training file")
            path = folder / f"training-{place}.jsonl"
            parts.append(await fetch_rows(self._files.storage, record, path))
        spec = OverlapSpec(
            path=await fetch_rows(self._files.storage, file, folder / "validation.jsonl"),
            training=await asyncio.to_thread(join_rows, parts, folder / "training.jsonl"),
            result=folder / "result.json",
        )
        found: SharedRows = await self._dataset_process.run(spec)
        counts = OverlapCounts(found.rows, len(found.exact), len(found.near), len(found.contained))
        await self._tasks.finish(task, result=msgspec.to_builtins(counts))
