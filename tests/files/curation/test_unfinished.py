"""Work that was cut off leaves no bytes in storage: killed workers, files deleted during it."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from service.core import ids
from service.core.leases import Leases
from service.core.records import Missing
from service.files.curation.check import CheckFile
from service.files.curation.curate import Curate
from service.files.curation.outputs import NOTED, Output, Outputs
from service.files.curation.records import Task, TaskKind, Tasks
from service.files.curation.report import MakeReport, ReportOptions, report_task
from service.files.records import FileRecord, FileStatus, Purpose
from service.jobs.dispatch import Dispatcher
from service.models.catalogue import Catalogue
from service.worker.reconciler import Reconciler
from tests.conftest import Api
from tests.files_below import files_below

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


@pytest.fixture
async def source(api: Api) -> FileRecord:
    """A file without bytes: the tests below cut off what comes after reading them."""
    await api.app.state.projects.restore(PROJECT, "a")
    return await api.app.state.files.register(record("chats.jsonl"))


@pytest.fixture
async def task(api: Api, source: FileRecord) -> Task:
    return await Tasks(api.app.state.redis).create(
        Task(
            id=ids.new(ids.CLEANING),
            project_id=PROJECT,
            created_at=1,
            file_id=source.id,
            kind=TaskKind.CLEANING,
            options={},
        )
    )


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


@pytest.fixture
def reconciler(api: Api, leases: Leases) -> Reconciler:
    state = api.app.state
    dispatcher = Dispatcher(state.jobs, state.redis, api.settings)
    return Reconciler(
        state.redis, state.jobs, state.files, leases, api.settings, dispatcher, state.eraser
    )


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


async def test_outputs_are_deleted_if_the_source_was(api: Api, reconciler, source, task, outputs):
    await Outputs(api.app.state.files).store(task, outputs)
    await api.app.state.files.delete(source)
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


async def test_registered_outputs_stay(api: Api, reconciler, source, task, outputs):
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


async def test_a_report_of_a_file_that_was_deleted_meanwhile_leaves_nothing(api: Api, tmp_path):
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


async def test_a_check_of_a_file_that_was_deleted_meanwhile_leaves_nothing(api: Api, leases):
    state = api.app.state
    await state.projects.restore(PROJECT, "a")
    data = b"prompt,completion\nq,a\n"
    file = record("table.csv", data)
    await state.storage.put_bytes(file.content_key, data)
    check = CheckFile(state.files, leases, api.settings)
    with pytest.raises(Missing):
        await check._conclude(file, check._work(file))
    assert stored(api) == []


async def test_a_task_that_is_created_while_its_file_is_deleted_goes_too(api: Api, source):
    """Otherwise the reconciler would enqueue it forever."""
    state, tasks = api.app.state, Tasks(api.app.state.redis)
    await state.files.delete(source)
    late = Task(
        id=ids.new(ids.CLEANING),
        project_id=PROJECT,
        created_at=1,
        file_id=source.id,
        kind=TaskKind.CLEANING,
        options={},
    )
    await tasks.create(late)
    leases = Leases(state.redis, "me", lease_s=30)
    await Curate(state.files, leases, api.settings, {}).run({}, PROJECT, late.subject, 1)
    assert await tasks.unfinished() == []
    assert await tasks.collection(source.id).get(PROJECT, late.id) is None
