"""Checks of the files of a job: existence, format, row lengths, grader and overlap."""

from __future__ import annotations

from service.config import Settings
from service.core import clock
from service.datasets.contract.tasks import Measures
from service.files.curation.measure import measure_task, measures_of
from service.files.curation.records import Tasks, TaskState
from service.files.records import FileRecord, Files, FileStatus
from service.jobs.graders import find_missing_variables, parse_grader
from service.jobs.planning.mixture import Inputs, Part, training_files
from service.jobs.planning.overlap import overlap_task, read_overlap
from service.jobs.records import JobFailure, JobRecord
from service.models.catalogue import BaseModelEntry
from service.training.contract.methods import METHODS


class InProgress(Exception):
    """A file is still being checked, or its rows are being measured."""


class CannotTrain(Exception):
    """The base model cannot be trained on the files; `failure` has the reason."""

    def __init__(self, code: str, message: str, param: str) -> None:
        super().__init__(message)
        self.failure = JobFailure(code=code, message=message, param=param)


class InputFiles:
    """Checks of the files of jobs. The first call for a file and a base model measures its rows."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._min_examples = settings.min_examples

    async def check(self, job: JobRecord, entry: BaseModelEntry) -> Inputs:
        """Return the inputs of a job. Raises CannotTrain or InProgress."""
        files = training_files(job)
        records = [await self._require_usable(job, file.id, file.param) for file in files]
        rows = records[0].rows or 0
        if rows < self._min_examples:
            raise CannotTrain(
                "invalid_n_examples",
                f"Training file has {rows} example(s), but must have at least "
                f"{self._min_examples} examples",
                "training_file",
            )
        if job.validation_file is not None:
            await self._require_usable(job, job.validation_file, "validation_file")
        parts = [
            Part(
                file,
                record.rows or 0,
                await self._measure(record, entry),
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
        """Return a note on the validation rows that are training rows too, if any are.

        Raises CannotTrain if all are, and InProgress.
        """
        if job.validation_file is None:
            return ()
        training = [
            await self._require_usable(job, one.id, one.param) for one in training_files(job)
        ]
        validation = await self._require_usable(job, job.validation_file, "validation_file")
        task = await self._tasks.get_or_create(overlap_task(validation, training))
        if task.state is TaskState.IN_PROGRESS:
            raise InProgress(f"The rows of {validation.id} are still compared with the training.")
        found = read_overlap(task)
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
        """Return what the grader reads and some rows lack. Raises CannotTrain if all lack it."""
        if job.grader is None:
            return ()
        found = await find_missing_variables(parse_grader(job.grader), self._files.storage, file)
        for missing in found:
            if missing.is_in_no_row:
                raise CannotTrain("invalid_grader", str(missing), missing.param)
        return tuple(map(str, found))

    async def _require_usable(self, job: JobRecord, file_id: str, param: str) -> FileRecord:
        """Return a file that the job can read. Raises CannotTrain and InProgress."""
        record = await self._files.get(job.project_id, file_id, clock.now_s())
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

    async def _measure(self, file: FileRecord, entry: BaseModelEntry) -> Measures | None:
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
