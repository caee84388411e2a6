"""Tests that interrupted work on files leaves no bytes, and keeps what it registered."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError

from service.core import ids
from service.core.leases import Leases
from service.core.records import Missing
from service.core.redis import connect
from service.files.curation.check import CheckFile
from service.files.curation.outputs import NOTED, Output, Outputs
from service.files.curation.records import Task, TaskKind, Tasks, TaskState
from service.files.curation.report import MakeReport, ReportOptions, report_task
from service.files.curation.task import RunFileTask
from service.files.records import FileRecord, Files, FileStatus, Purpose
from service.models.catalogue import Catalogue
from service.work.records import AttemptSuperseded
from service.worker.reconciler import Reconciler
from tests.conftest import Api
from tests.files_below import files_below
from tests.lossy import road_to

pytestmark = pytest.mark.slow

PROJECT = "proj_a"


def record(name: str, data: bytes = b"") -> FileRecord:
    return FileRecord(
        id=ids.new(ids.FILE),
        project_id=PROJECT,
        created_at=1,
        filename=name,
        purpose=Purpose.FINE_TUNE,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        status=FileStatus.PROCESSED,
    )


def task_on(
    file: FileRecord, kind: TaskKind = TaskKind.CLEANING, task_id: str = "fileclean-1"
) -> Task:
    return Task(
        id=task_id, project_id=PROJECT, created_at=1, file_id=file.id, kind=kind, options={}
    )


@pytest.fixture
async def source(api: Api) -> FileRecord:
    """A file without bytes: the tests interrupt what comes after they are read."""
    await api.app.state.projects.restore(PROJECT, "a")
    return await api.app.state.files.register(record("chats.jsonl"))


@pytest.fixture
async def task(api: Api, source: FileRecord) -> Task:
    return await Tasks(api.app.state.redis).create(task_on(source))


@pytest.fixture
def outputs(tmp_path: Path) -> list[Output]:
    """What a cleaning leaves on a worker's disk."""
    made = []
    for name in ("clean", "diff"):
        path = tmp_path / name
        path.write_text(name)
        made.append(Output(record(f"chats.{name}.jsonl"), path))
    return made


@pytest.fixture
def leases(api: Api) -> Leases:
    return Leases(api.app.state.redis, "me", lease_s=api.settings.lease_s)


def stored(api: Api) -> list[str]:
    folder = Path(api.settings.storage_url.removeprefix("file://")) / PROJECT
    return [str(path.relative_to(folder)) for path in files_below(folder)]


def of(outputs: list[Output]) -> list[str]:
    names = ("content", "manifest.json")
    return sorted(f"files/{o.record.id}/{name}" for o in outputs for name in names)


async def swept(api: Api, reconciler: Reconciler) -> None:
    """Let the reconciler go round until nothing is noted."""
    async with asyncio.timeout(60):
        while await api.app.state.redis.exists(NOTED):
            await reconciler.once()
            await asyncio.sleep(0.05)


async def test_outputs_of_a_killed_cleaning_are_deleted(api: Api, reconciler, task, outputs):
    """The worker stored its outputs and was killed before it registered them."""
    await Outputs(api.app.state.files).store(task, outputs)
    assert stored(api) == of(outputs)
    await reconciler.once()
    assert stored(api) == of(outputs)  # the attempt may still be alive
    await Tasks(api.app.state.redis).restart(task)
    await swept(api, reconciler)
    assert stored(api) == []


async def test_outputs_are_kept_while_a_worker_may_be_writing_them(
    api: Api, reconciler, leases, source, task, outputs
):
    async with leases.hold(task.subject, task.attempt):
        await Outputs(api.app.state.files).store(task, outputs)
        await api.app.state.files.delete(source)
        await reconciler.once()
        assert stored(api) == of(outputs)
    await swept(api, reconciler)
    assert stored(api) == []


async def test_registered_outputs_are_kept(api: Api, reconciler, source, task, outputs):
    files, made = api.app.state.files, Outputs(api.app.state.files)
    await made.store(task, outputs)
    await Tasks(api.app.state.redis).finish(
        task, result={}, also=lambda pipe: made.register(pipe, task, outputs)
    )
    assert not await api.app.state.redis.exists(NOTED)
    await files.delete(source)
    await reconciler.once()
    assert stored(api) == of(outputs)
    assert await files.records.get(PROJECT, outputs[0].record.id) == outputs[0].record


async def test_a_superseded_attempt_leaves_no_outputs(api: Api, task, outputs):
    await Tasks(api.app.state.redis).restart(task)
    with pytest.raises(AttemptSuperseded):
        await Outputs(api.app.state.files).finish(task, {}, outputs)
    assert stored(api) == []


async def test_outputs_stay_if_it_is_unknown_whether_they_were_registered(
    api: Api, redis_url, task, outputs
):
    async with road_to(redis_url) as road:
        redis = connect(road.url, retries=0)
        road.lose(b"EXEC", task.id.encode(), cut=True)
        with pytest.raises(ConnectionError):
            await Outputs(Files(redis, api.app.state.storage)).finish(task, {}, outputs)
        await redis.aclose(close_connection_pool=True)
    assert stored(api) == of(outputs)
    found = await Tasks(api.app.state.redis).collection(task.file_id).get(PROJECT, task.id)
    assert found is not None
    assert found.state is TaskState.COMPLETED


async def test_a_report_of_a_deleted_file_leaves_nothing(api: Api, tmp_path):
    state = api.app.state
    await state.projects.restore(PROJECT, "a")
    data = b'{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}\n'
    file = record("chats.jsonl", data)
    await state.storage.put_bytes(file.content_key, data)
    task = report_task(file, ReportOptions([]))  # its record is gone, like the file's
    make = MakeReport(state.files, Catalogue(api.settings.models_file), api.settings)
    with pytest.raises(Missing):
        await make(task, file, tmp_path)
    assert stored(api) == [file.content_key.removeprefix(f"{PROJECT}/")]


async def test_a_check_of_a_deleted_file_leaves_nothing(api: Api, leases):
    state = api.app.state
    await state.projects.restore(PROJECT, "a")
    data = b"prompt,completion\nq,a\n"
    file = record("table.csv", data)
    await state.storage.put_bytes(file.content_key, data)
    check = CheckFile(state.files, leases, api.settings)
    with pytest.raises(Missing):
        await check._conclude(file, check._work(file))
    assert stored(api) == []


async def test_a_task_created_while_its_file_is_deleted_is_deleted(api: Api, source):
    """Otherwise the reconciler would enqueue it forever."""
    state, tasks = api.app.state, Tasks(api.app.state.redis)
    await state.files.delete(source)
    late = task_on(source)
    await tasks.create(late)
    leases = Leases(state.redis, "me", lease_s=30)
    await RunFileTask(state.files, leases, api.settings, {}).run({}, PROJECT, late.subject, 1)
    assert await tasks.unfinished() == []
    assert await tasks.collection(source.id).get(PROJECT, late.id) is None


async def test_the_same_task_on_two_files_has_two_folders(api: Api):
    """The ID of a measurement is a digest of the file and model, so both tasks have the same ID."""
    state, both = api.app.state, asyncio.Barrier(2)
    left: list[str] = []

    async def measure(task: Task, file: FileRecord, folder: Path) -> None:
        (folder / "answer").write_text(file.id)
        await both.wait()
        left.append((folder / "answer").read_text())
        await both.wait()

    leases = Leases(state.redis, "me", lease_s=api.settings.lease_s)
    curate = RunFileTask(state.files, leases, api.settings, {TaskKind.MEASURE: measure})
    files = [await state.files.register(record(name)) for name in ("a", "b")]
    tasks = [
        await Tasks(state.redis).create(task_on(file, TaskKind.MEASURE, "filemeasure-1"))
        for file in files
    ]
    async with asyncio.timeout(60):
        await asyncio.gather(*(curate.run({}, PROJECT, task.subject, 1) for task in tasks))
    assert sorted(left) == sorted(file.id for file in files)
