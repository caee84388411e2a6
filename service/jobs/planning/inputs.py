"""Files of a job: whether it can be trained on them, and the lengths of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from service.config import Settings
from service.core import ids
from service.curation.measure import measure_task, measures_of
from service.curation.records import Tasks, TaskState
from service.datasets.contract import Measures
from service.files.records import FileRecord, Files, FileStatus
from service.jobs.planning import tool_support
from service.jobs.planning.hyperparameters import Data
from service.jobs.records import JobFailure, JobRecord
from service.models.catalogue import BaseModelEntry
from service.training.contract.methods import METHODS

_Param = Literal["training_file", "validation_file"]


class InProgress(Exception):
    """A file is still being checked, or its rows are being measured."""


class CannotTrain(Exception):
    """The base model cannot be trained on the files; `failure` has the reason."""

    def __init__(self, code: str, message: str, param: str) -> None:
        super().__init__(message)
        self.failure = JobFailure(code=code, message=message, param=param)


@dataclass(frozen=True)
class Inputs:
    """Training file of a job: its rows, and their lengths if they can be measured."""

    rows: int
    measures: Measures | None

    @property
    def longest(self) -> int | None:
        """Number of tokens in the longest row, or None if unknown."""
        return self.measures.longest if self.measures else None

    @property
    def data(self) -> Data:
        """Size of the training file, for resolving `auto`."""
        return Data(self.rows, self.longest, self.measures.p95 if self.measures else None)

    def tokens(self, max_seq_length: int) -> int:
        """Return the tokens per epoch with truncated rows; without measures, the upper bound."""
        if self.measures is None:
            return self.rows * max_seq_length
        lengths = self.measures.percentiles[1:]
        kept = sum(min(tokens, max_seq_length) for tokens in lengths)
        return round(self.measures.tokens * kept / max(sum(lengths), 1))


class InputFiles:
    """Checks of the files of jobs. The first call for a file and a base model measures its rows."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._min_examples = settings.min_examples

    async def of(self, job: JobRecord, entry: BaseModelEntry) -> Inputs:
        """Return the inputs of a job. Raises CannotTrain or InProgress."""
        training = await self._checked(job, job.training_file, "training_file")
        rows = training.rows or 0
        if rows < self._min_examples:
            raise CannotTrain(
                "invalid_n_examples",
                f"Training file has {rows} example(s), but must have at least "
                f"{self._min_examples} examples",
                "training_file",
            )
        if job.validation_file is not None:
            await self._checked(job, job.validation_file, "validation_file")
        measures = await self._measured(training, entry)
        if (refusal := tool_support.tools_refusal(measures, job.model)) is not None:
            raise CannotTrain(tool_support.CODE, refusal, "model")
        return Inputs(rows, measures)

    async def _checked(self, job: JobRecord, file_id: str, param: _Param) -> FileRecord:
        record = await self._files.get(job.project_id, file_id, ids.now_s())
        if record is None:
            raise CannotTrain("file_not_found", f"The file {file_id} was deleted.", param)
        if record.status is FileStatus.UPLOADED:
            raise InProgress(f"The file {file_id} is still being checked.")
        if record.status is FileStatus.ERROR:
            message = record.status_details or "The file is invalid"
            raise CannotTrain(f"invalid_{param}", message, param)
        expected = METHODS[job.method].row_format
        if record.row_format != expected:
            raise CannotTrain(
                f"invalid_{param}",
                f"The file {file_id} holds rows of the {record.row_format} format; the method "
                f"'{job.method}' needs the {expected} format.",
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
