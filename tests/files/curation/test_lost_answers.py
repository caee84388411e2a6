"""Tests of a cleaning whose final Redis response is lost: its files are kept in any case."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError

from service.core import ids
from service.core.redis import connect
from service.core.storage import StorageMissing
from service.datasets.checks.validate import ValidationReport
from service.datasets.contract.tasks import CleanResult, ConvertResult
from service.datasets.formats.options import canonical_facts
from service.datasets.output import OutputFile
from service.files.curation.cleaning import MakeCleaning
from service.files.curation.records import Task, TaskKind, Tasks, TaskState
from service.files.records import FileRecord, Files, FileStatus, Purpose
from service.work.records import AttemptSuperseded
from tests.conftest import Api
from tests.files_below import files_below
from tests.lossy import Road, road_to

PROJECT = "proj_a"
SOURCE = FileRecord(
    id=ids.new(ids.FILE),
    project_id=PROJECT,
    created_at=1,
    filename="chats.jsonl",
    purpose=Purpose.FINE_TUNE,
    bytes=1,
    sha256="0" * 64,
    status=FileStatus.PROCESSED,
)


@pytest.fixture
async def road(api: Api, redis_url) -> AsyncIterator[Road]:
    async with road_to(redis_url) as road:
        yield road


@pytest.fixture
async def cleaning(api: Api, road) -> AsyncIterator[MakeCleaning]:
    """A cleaning of a worker whose Redis connection loses responses."""
    redis = connect(road.url, retries=0)
    yield MakeCleaning(Files(redis, api.app.state.storage), api.settings)
    await redis.aclose(close_connection_pool=True)


@pytest.fixture
async def task(api: Api) -> Task:
    await api.app.state.projects.restore(PROJECT, "a")
    task = Task(
        id="clean-1",
        project_id=PROJECT,
        created_at=1,
        file_id=SOURCE.id,
        kind=TaskKind.CLEANING,
        options={},
    )
    return await Tasks(api.app.state.redis).create(task)


@pytest.fixture
def made(tmp_path: Path) -> CleanResult:
    """The desk's output on the worker's disk."""

    def output(name: str) -> OutputFile:
        path = tmp_path / name
        path.write_text(f"rows of {name}")
        data = path.read_bytes()
        return OutputFile(str(path), 1, len(data), hashlib.sha256(data).hexdigest())

    facts = canonical_facts(1, "chat")
    checked = ValidationReport("chat", 1, 1, 1, 0, 0, {}, ())
    return CleanResult(
        source=ConvertResult(facts, checked, rows=1, bytes=1, sha256="0" * 64),
        train=output("train"),
        validation=output("validation"),
        diff=output("diff"),
        dropped={},
        changed={},
        changed_rows=0,
    )


async def ended(api: Api) -> Task:
    found = await Tasks(api.app.state.redis).collection(SOURCE.id).get(PROJECT, "clean-1")
    assert found is not None
    return found


async def contents(api: Api, task: Task) -> list[str]:
    """Return the cleaning's files in storage."""
    files = api.app.state.files
    found = []
    assert task.result is not None
    for name in ("training_file", "validation_file", "diff_file"):
        record = await files.records.get(PROJECT, task.result[name])
        found.append((await files.storage.get_bytes(record.content_key)).decode())
    return found


ROWS = ["rows of train", "rows of validation", "rows of diff"]


async def test_its_files_stay(api: Api, road, cleaning, task, made):
    road.lose(b"EXEC", task.id.encode())
    await cleaning._keep(task, SOURCE, made)
    assert road.lost == 1
    assert (await ended(api)).state is TaskState.COMPLETED
    assert await contents(api, await ended(api)) == ROWS


async def test_its_files_stay_where_redis_goes_away_at_the_same_time(
    api: Api, road, cleaning, task, made
):
    """The worker cannot know whether the records exist, so it must not delete the files."""
    road.lose(b"EXEC", task.id.encode(), cut=True)
    with pytest.raises(ConnectionError):
        await cleaning._keep(task, SOURCE, made)
    assert (await ended(api)).state is TaskState.COMPLETED
    assert await contents(api, await ended(api)) == ROWS


async def test_an_attempt_that_was_superseded_leaves_nothing(api: Api, cleaning, task, made):
    await Tasks(api.app.state.redis).restart(task)
    with pytest.raises(AttemptSuperseded):
        await cleaning._keep(task, SOURCE, made)
    assert await left(api) == []


async def test_one_that_cannot_be_stored_leaves_nothing(api: Api, cleaning, task, made):
    Path(made.diff.path).unlink()
    with pytest.raises((OSError, StorageMissing)):
        await cleaning._keep(task, SOURCE, made)
    assert await left(api) == []


async def left(api: Api) -> list[str]:
    storage = Path(api.settings.storage_url.removeprefix("file://"))
    return [str(path) for path in files_below(storage / PROJECT)]
