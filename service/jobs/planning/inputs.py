"""Files of a job: whether it can be trained on them, and the lengths of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from service.config import Settings
from service.core import ids
from service.datasets.contract import Measures
from service.files.curation.measure import measure_task, measures_of
from service.files.curation.records import Tasks, TaskState
from service.files.records import FileRecord, Files, FileStatus
from service.jobs.graders import misfits_of, parse_grader
from service.jobs.mixture import TrainingFile, training_files
from service.jobs.planning import tool_support
from service.jobs.planning.hyperparameters import Data
from service.jobs.planning.overlap import overlap_of, overlap_task
from service.jobs.records import JobFailure, JobRecord
from service.models.catalogue import BaseModelEntry
from service.training.contract.methods import METHODS
from service.training.contract.mixture import drawn_per_epoch

_TEXTS_ALONE = (
    "texts only: the model may chat worse than before; to avoid that, mix some chats with the "
    "texts (mixed_files)"
)


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
    notes: tuple[str, ...] = ()  # on what is read besides the lengths

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
        """What an epoch draws from each file, if there are several, and what texts alone miss."""
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

    async def of(self, job: JobRecord, entry: BaseModelEntry) -> Inputs:
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
            refusal = tool_support.tools_refusal(part.measures, job.model)
            if refusal is not None:
                raise CannotTrain(tool_support.CODE, refusal, "model")
        return Inputs(tuple(parts), notes)

    async def overlap(self, job: JobRecord) -> tuple[str, ...]:
        """Say how many rows of the validation file are training rows too, if any are.

        Raises CannotTrain if all are, and InProgress.
        """
        if job.validation_file is None:
            return ()
        training = [await self._checked(job, one.id, one.param) for one in training_files(job)]
        validation = await self._checked(job, job.validation_file, "validation_file")
        task = await self._tasks.asked_for(overlap_task(validation, training))
        if task.state is TaskState.IN_PROGRESS:
            raise InProgress(f"The rows of {validation.id} are still compared with the training.")
        found = overlap_of(task)
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
        return (found.sentence(is_evaluated=METHODS[job.method].is_evaluated),)

    async def _grader_notes(self, job: JobRecord, file: FileRecord) -> tuple[str, ...]:
        """Return what some rows lack for the grader. Raises CannotTrain if all lack it."""
        if job.grader is None:
            return ()
        found = await misfits_of(parse_grader(job.grader), self._files.storage, file)
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
        task = await self._tasks.asked_for(measure_task(file, entry))
        if task.state is TaskState.IN_PROGRESS:
            raise InProgress(
                f"The rows of {file.id} are still being measured in the tokens of {entry.id}."
            )
        return measures_of(task)
