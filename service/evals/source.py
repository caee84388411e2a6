"""The items of a run on a worker's disk: fetched, checked, and read line by line."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any

from service.core import ids
from service.core.storage import Storage, StorageMissing
from service.datasets.checks.validate import eval_lines, parse_eval_item
from service.evals.item_schema import ItemSchema
from service.evals.records import RunFailure, RunRecord
from service.files.curation.child_runner import DeskFailed
from service.files.curation.scratch import fetch
from service.files.records import Files, FileStatus

_POLL_S = 1.0


class RunFailed(Exception):
    """The run cannot continue; outcomes of its items are kept."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.failure = RunFailure(code=code, message=message)


async def fetch_items(run: RunRecord, files: Files, storage: Storage, folder: Path) -> Path:
    """Download the run's items. Waits for the check of a file. Raises RunFailed."""
    path = folder / "items.jsonl"
    if run.is_inline:
        try:
            await storage.get_file(run.source_key, path)
        except StorageMissing as e:
            raise RunFailed("source_missing", "The items of the run are not in storage.") from e
        return path
    file_id = run.data_source["source"]["id"]
    while True:
        file = await files.get(run.project_id, file_id, ids.now_s())
        if file is None:
            raise RunFailed("file_not_found", f"The file {file_id} was deleted, or it expired.")
        if file.status is not FileStatus.UPLOADED:
            break
        await asyncio.sleep(_POLL_S)
    if file.status is FileStatus.ERROR:
        message = f"The file {file_id} cannot be used. {file.status_details}"
        raise RunFailed("invalid_file", message)
    try:
        return await fetch(storage, file, path)
    except DeskFailed as e:
        raise RunFailed(e.code, e.message) from e


def check_items(path: Path, schema: ItemSchema) -> int:
    """Check each item against the schema, and return their number. Raises RunFailed."""
    items = 0
    for number, line in eval_lines(path):
        if line is not None and not line.strip():
            continue
        row, issue = parse_eval_item(line)
        if issue is not None:
            raise RunFailed("invalid_item", f"Line {number}: {issue.message}")
        if (fault := schema.fault(row["item"])) is not None:
            raise RunFailed("invalid_item", f"Line {number}: {fault}.")
        items += 1
    if not items:
        raise RunFailed("empty_file", "The file holds no items.")
    return items


def read_items(path: Path, done: Collection[int]) -> Generator[tuple[int, dict[str, Any]]]:
    """Yield the number and the row of each item that is not done, in order. Items count from 0."""
    number = 0
    for _, line in eval_lines(path):
        if line is not None and not line.strip():
            continue
        if number not in done:
            yield number, parse_eval_item(line)[0]
        number += 1
