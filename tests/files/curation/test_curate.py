"""Tests of the tasks on files, at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.core.leases import Leases
from service.files.curation.curate import Curate
from service.files.curation.records import Task, TaskKind, Tasks
from service.files.records import FileRecord
from tests.conftest import Api
from tests.files.curation.test_unfinished import PROJECT, record

pytestmark = pytest.mark.slow


async def test_the_same_task_on_two_files_at_once_has_two_folders(api: Api):
    """The ID of a measurement says what is measured, so tasks on two files have the same ID."""
    state, both = api.app.state, asyncio.Barrier(2)
    left: list[str] = []

    async def measure(task: Task, file: FileRecord, folder: Path) -> None:
        (folder / "answer").write_text(file.id)
        await both.wait()
        left.append((folder / "answer").read_text())
        await both.wait()

    leases = Leases(state.redis, "me", lease_s=api.settings.lease_s)
    curate = Curate(state.files, leases, api.settings, {TaskKind.MEASURE: measure})
    files = [await state.files.register(record(name)) for name in ("a", "b")]
    tasks = [
        await Tasks(state.redis).create(
            Task(
                id="filemeasure-same",
                project_id=PROJECT,
                created_at=1,
                file_id=file.id,
                kind=TaskKind.MEASURE,
                options={},
            )
        )
        for file in files
    ]
    async with asyncio.timeout(60):
        await asyncio.gather(*(curate.run({}, PROJECT, task.subject, 1) for task in tasks))
    assert sorted(left) == sorted(file.id for file in files)
