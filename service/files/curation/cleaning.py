"""Runs cleanings: writes new files, and a diff that describes each affected row."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from service.config import Settings
from service.datasets.contract.tasks import CleanOptions, CleanResult, CleanSpec
from service.files.curation.dataset_process import (
    DatasetProcess,
    DatasetTaskFailed,
    fetch,
    other_file,
)
from service.files.curation.outputs import Outputs, new_output
from service.files.curation.recognizers.records import Recognizers
from service.files.curation.records import Task
from service.files.curation.reviews.records import decisions_key
from service.files.records import FileRecord, Files, with_filename_hint


class MakeCleaning:
    """Runs cleaning tasks."""

    def __init__(self, files: Files, settings: Settings) -> None:
        self._files = files
        self._recognizers = Recognizers(files.redis)
        self._outputs = Outputs(files)
        self._dataset_process = DatasetProcess(settings)

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Clean the file, and register the outputs when it completes. Raises DatasetTaskFailed."""
        options = dict(task.options)
        given = options.pop("format", None) or file.format
        decisions = options.pop("decisions_file", None)
        use_reviews = options.pop("use_reviews", False)
        spec = CleanSpec(
            path=await fetch(self._files.storage, file, folder / "content"),
            out=folder / "out",
            format=self._dataset_process.format_of(with_filename_hint(given, file.filename)),
            options=msgspec.convert(options, CleanOptions),
            recognizers=await self._recognizers.all(task.project_id),
            result=folder / "result.json",
        )
        if decisions is not None:
            found = await other_file(self._files, task.project_id, decisions, "file of decisions")
            fetched = await fetch(self._files.storage, found, folder / "decisions")
            spec = msgspec.structs.replace(spec, decisions=fetched)
        if use_reviews:
            path = folder / "decisions"
            await self._files.storage.get_file(decisions_key(task), path)
            spec = msgspec.structs.replace(spec, decisions=path)
        cleaned = await self._dataset_process.run(spec)
        if cleaned.train.rows == 0:
            raise DatasetTaskFailed(
                "nothing_left", "No rows are left after the cleaning; the report shows why."
            )
        await self._keep(task, file, cleaned)

    async def _keep(self, task: Task, file: FileRecord, cleaned: CleanResult) -> None:
        row_format = cleaned.source.facts.row_format
        stem = file.filename.split(".", 1)[0] or file.id
        new = partial(
            new_output,
            task.project_id,
            expires_at=file.expires_at,
            derived_from=file.id,
            cleaning=task.id,
        )
        outputs = {
            "training_file": new(cleaned.train, f"{stem}.clean.jsonl", row_format=row_format),
            "diff_file": new(cleaned.diff, f"{stem}.diff.jsonl"),
        }
        if cleaned.validation is not None and cleaned.validation.rows:
            outputs["validation_file"] = new(
                cleaned.validation, f"{stem}.validation.jsonl", row_format=row_format
            )
        result = {
            **{name: output.record.id for name, output in outputs.items()},
            "source_rows": cleaned.source.rows,
            "training_rows": cleaned.train.rows,
            "validation_rows": cleaned.validation.rows if cleaned.validation else 0,
            "dropped": cleaned.dropped,
            "changed": cleaned.changed,
            "changed_rows": cleaned.changed_rows,
            "model_search": cleaned.model_search,
        }
        await self._outputs.finish(task, result, list(outputs.values()))
