"""Create reports of files: one per view, stored next to the file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from service.config import Settings
from service.core import ids
from service.datasets.contract.tasks import ReportSpec
from service.files.curation.child_runner import Desk
from service.files.curation.recognizers.records import Recognizers
from service.files.curation.records import Task, TaskKind, Tasks
from service.files.curation.scratch import fetch, other_file
from service.files.records import FileRecord, Files
from service.models.catalogue import BaseModelEntry, Catalogue

# Common values of max_seq_length, reported in addition to the models' own limits.
_LENGTHS = (512, 1024, 2048, 4096, 8192)
FORMS = {"json": "report.json", "html": "report.html", "md": "report.md"}


class ReportOptions(msgspec.Struct, frozen=True):
    """A view of a file: the models whose tokenizers count its tokens, and a file to compare."""

    models: list[str]
    validation_file: str | None = None


def report_task(file: FileRecord, options: ReportOptions, recognizers: str | None = None) -> Task:
    """The report task for a view of the file. The same view has the same ID.

    `recognizers` is the digest of the project's recognizers.
    """
    seen_with = [] if recognizers is None else [recognizers]
    chosen = msgspec.to_builtins(options)
    view = msgspec.json.encode([file.meaning, chosen, *seen_with], order="sorted")
    return Task(
        id=ids.REPORT + hashlib.sha256(view).hexdigest()[:32],
        project_id=file.project_id,
        created_at=ids.now_s(),
        file_id=file.id,
        kind=TaskKind.REPORT,
        options=chosen,
    )


class MakeReport:
    """Executes report tasks."""

    def __init__(self, files: Files, catalogue: Catalogue, settings: Settings) -> None:
        self._files = files
        self._tasks = Tasks(files.redis)
        self._recognizers = Recognizers(files.redis)
        self._catalogue = catalogue
        self._desk = Desk(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Create and store the report and the index of its rows, then finish. Raises DeskFailed."""
        options = msgspec.convert(task.options, ReportOptions)
        out = folder / "out"
        out.mkdir()
        entries = [e for e in map(self._catalogue.get, options.models) if e is not None]
        spec = ReportSpec(
            path=await fetch(self._files.storage, file, folder / "content"),
            format=self._desk.format_of(file.reading),
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
            held = await other_file(self._files, task, options.validation_file, "validation file")
            spec = msgspec.structs.replace(
                spec,
                validation=await fetch(self._files.storage, held, folder / "validation"),
                validation_format=self._desk.format_of(held.reading),
            )
        await self._desk.run(spec)
        spec.result.rename(out / FORMS["json"])
        await self._files.storage.put_folder(task.folder, out)
        await self._tasks.finish_stored(task, self._files.storage)


def _tokenizers(entries: list[BaseModelEntry]) -> dict[str, Path]:
    """The available tokenizers, by model."""
    paths = {entry.id: entry.path / "tokenizer.json" for entry in entries}
    return {model: path for model, path in paths.items() if path.is_file()}


def _context_lengths(entries: list[BaseModelEntry]) -> tuple[int, ...]:
    """The common lengths below the longest context of the models, and the models' own."""
    longest = max((e.context_length for e in entries), default=max(_LENGTHS))
    lengths = {n for n in _LENGTHS if n < longest} | {e.context_length for e in entries}
    return tuple(sorted(lengths))
