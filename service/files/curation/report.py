"""Creates reports of files: one per set of options, stored next to the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from service.config import Settings
from service.core import ids
from service.datasets.contract.report import Report
from service.datasets.contract.tasks import ReportSpec
from service.files.curation.dataset_process import DatasetProcess, fetch, other_file
from service.files.curation.recognizers.records import Recognizers
from service.files.curation.records import Task, TaskKind, Tasks, task_on_request
from service.files.records import FileRecord, Files
from service.models.catalogue import BaseModelEntry, Catalogue

# Common values of max_seq_length, which are reported in addition to the models' own limits.
_LENGTHS = (512, 1024, 2048, 4096, 8192)
FORMS = {"json": "report.json", "html": "report.html", "md": "report.md"}


class ReportOptions(msgspec.Struct, frozen=True):
    """Options of a report: the models whose tokenizers count tokens, and a file to compare."""

    models: list[str]
    validation_file: str | None = None


def report_task(file: FileRecord, options: ReportOptions, *others: str | None) -> Task:
    """Return the task that reports on a file.

    `others` say what else a report depends on: the project's recognizers, and the model.
    """
    chosen = msgspec.to_builtins(options)
    return task_on_request(TaskKind.REPORT, ids.REPORT, file, chosen, chosen, *filter(None, others))


class MakeReport:
    """Runs report tasks."""

    def __init__(self, files: Files, catalogue: Catalogue, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._recognizers = Recognizers(files.redis)
        self._catalogue = catalogue
        self._dataset_process = DatasetProcess(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Create and store the report and the index of its rows. Raises DatasetTaskFailed."""
        options = msgspec.convert(task.options, ReportOptions)
        out = folder / "out"
        out.mkdir()
        entries = [e for e in map(self._catalogue.get, options.models) if e is not None]
        spec = ReportSpec(
            path=await fetch(self._files.storage, file, folder / "content"),
            format=self._dataset_process.format_of(file.read_options),
            result=folder / FORMS["json"],
            html=out / FORMS["html"],
            markdown=out / FORMS["md"],
            title=f"Data set report: {file.filename}",
            tokenizers=_tokenizers(entries),
            context_lengths=_context_lengths(entries),
            index=out,
            stored_rows=file.canonical,
            recognizers=await self._recognizers.all(task.project_id),
        )
        if options.validation_file is not None:
            held = await other_file(
                self._files, task.project_id, options.validation_file, "validation file"
            )
            spec = msgspec.structs.replace(
                spec,
                validation=await fetch(self._files.storage, held, folder / "validation"),
                validation_format=self._dataset_process.format_of(held.read_options),
            )
        report = await self._dataset_process.run(spec)
        spec.result.rename(out / FORMS["json"])
        await self._files.storage.put_folder(task.folder, out)
        await self._tasks.finish_stored(task, self._files.storage, _main_figures(report))


def _main_figures(report: Report) -> dict[str, Any]:
    """Return what the record of the task tells about the report, without any text of the file."""
    return {
        "rows": report.rows,
        "invalid_rows": report.validation.rows - report.validation.valid_rows,
        "mean_score": report.scores and report.scores.mean,
        "finding_counts": dict(report.finding_counts),
        "advice": list(dict.fromkeys(one.code for one in report.advice)),
    }


def _tokenizers(entries: list[BaseModelEntry]) -> dict[str, Path]:
    """Return the paths of the available tokenizers, by model."""
    paths = {entry.id: entry.path / "tokenizer.json" for entry in entries}
    return {model: path for model, path in paths.items() if path.is_file()}


def _context_lengths(entries: list[BaseModelEntry]) -> tuple[int, ...]:
    """Return the common lengths below the models' longest context, and the models' own."""
    longest = max((e.context_length for e in entries), default=max(_LENGTHS))
    lengths = {n for n in _LENGTHS if n < longest} | {e.context_length for e in entries}
    return tuple(sorted(lengths))
