"""Tests that this version reads data of earlier versions, and continues their work."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.core import clock
from service.projects.records import digest_of
from tests.faults.invariants import JOBS, violations
from tests.faults.world import CURRENT, World, worlds
from tests.upgrade.snapshot import FOLDER, Snapshot, answer_to
from tests.upgrade.write import write

pytestmark = pytest.mark.slow

_SECRET = "sk-ft-of-the-upgrade"
_NEW = "of_a_newer_version"
# Facts of their base models, which trained models had not before.
_NULL_BEFORE = {"license", "context_length", "languages"}


@pytest.fixture(params=sorted(FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def snapshot(request) -> Snapshot:
    return Snapshot.read(request.param)


@pytest.fixture(params=[False, True], ids=["older", "newer"])
async def world(request, snapshot, redis_url, tmp_path) -> AsyncIterator[World]:
    """An installation with the snapshot, whose records may have a field of a newer version."""
    async with worlds(redis_url, tmp_path, 1) as (place,):
        CURRENT.set(place)
        await place.begin()
        await place.redis.flushdb()
        await snapshot.load(place.redis, place.storage)
        await _authorize(place)
        if request.param:
            await _add_fields(place)
        clock.set_difference(snapshot.taken_at - time.time())
        yield place
        clock.set_difference(0)


async def _authorize(world: World) -> None:
    """Give the snapshot's first key a secret that is known here."""
    projects = world.app.state.projects
    project = await projects.by_name("acme")
    key_id = (await projects.keys.ids(project.id))[0]
    await world.redis.set(f"finetuned:key-digests:{digest_of(_SECRET)}", f"{project.id} {key_id}")
    world.http.headers["authorization"] = f"Bearer {_SECRET}"
    world.notes["project"] = project.id


async def _records(world: World) -> dict[str, dict[str, Any]]:
    """Return the records, by the names of their keys."""
    found = {}
    for name in await world.keys("finetuned:*"):
        if await world.redis.type(name) == b"string":
            value = (await world.redis.get(name)).decode()
            record = json.loads(value) if value.startswith("{") else {}
            if {"id", "project_id", "created_at"} <= record.keys():
                found[name] = record
    return found


async def _add_fields(world: World) -> None:
    for name, record in (await _records(world)).items():
        await world.redis.set(name, json.dumps(record | {_NEW: {"a": [1]}}))


def _missing(before: Any, after: Any, where: str) -> list[str]:
    """Return what an answer had that another has not. Fields may have been added."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            lost
            for name, value in before.items()
            if not (value is None and name in _NULL_BEFORE)
            for lost in _missing(value, after.get(name), f"{where}.{name}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [lost for i, (b, a) in pairs for lost in _missing(b, a, f"{where}[{i}]")]
    return [] if before == after else [f"{where}: {before!r} is now {after!r}"]


async def test_answers_are_the_same(world, snapshot):
    before = {path: answer for path, answer in snapshot.answers.items() if not _is_gone(path)}
    after = {path: await answer_to(world.http, path) for path in before}
    assert len(after) >= 35
    assert not _missing(before, after, "")
    assert _NEW not in json.dumps(after)


def _is_gone(path: str) -> bool:
    """Whether a path is of a route of 0.2."""
    return path.startswith("/v1/exports") or path.endswith("/clean")


async def test_tasks_on_files_are_listed_without_their_files(world, snapshot):
    if "/v1/dataset_cleanings" in snapshot.answers:  # compared above
        return
    cleanings = [
        cleaning
        for path, answer in snapshot.answers.items()
        if path.endswith("/clean")
        for cleaning in answer["data"]
    ]
    found = (await answer_to(world.http, "/v1/dataset_cleanings"))["data"]
    assert [one["id"] for one in found] == [one["id"] for one in cleanings] != []
    for one, old in zip(found, cleanings, strict=True):
        assert await answer_to(world.http, f"/v1/dataset_cleanings/{one['id']}") == one
        assert one["status"] == old["status"]
        assert one["started_at"] is None
        assert one["result"]["training_file_id"] == old["training_file"]
    assert (await answer_to(world.http, "/v1/model_imports"))["data"]


async def test_unfinished_work_continues_and_everything_can_be_deleted(world, snapshot):
    unchecked, paused, upload = _unfinished(snapshot)
    kept = {name for name, record in (await _records(world)).items() if _NEW in record}
    await world.settle()
    assert (await answer_to(world.http, f"/v1/files/{unchecked}"))["status"] == "processed"
    resumed = await world.http.post(f"{JOBS}/{paused}/resume")
    assert (resumed.status_code, resumed.json()["status"]) == (200, "queued")
    parts = [part["id"] for part in snapshot.answers[f"/v1/uploads/{upload}/parts"]["data"]]
    completed = await world.http.post(f"/v1/uploads/{upload}/complete", json={"part_ids": parts})
    assert completed.json()["status"] == "completed", completed.text
    await world.settle()
    after = await _records(world)
    assert {name for name in kept & after.keys() if _NEW not in after[name]} == set()
    assert await violations(world) == []


def _unfinished(snapshot: Snapshot) -> tuple[str, str, str]:
    """Return the IDs of the file without a check, of the paused job, and of the upload."""
    files = snapshot.answers["/v1/files"]["data"]
    jobs = snapshot.answers[JOBS]["data"]
    uploads = [path for path in snapshot.answers if path.startswith("/v1/uploads/")]
    return (
        next(file["id"] for file in files if file["status"] == "uploaded"),
        next(job["id"] for job in jobs if job["status"] == "paused"),
        Path(uploads[0]).name,
    )


async def test_a_release_writes_its_records(tmp_path):
    """Which later versions are tested with."""
    written = Snapshot.read(await write(tmp_path))
    assert all(_unfinished(written))
    assert "/v1/dataset_cleanings" in written.answers
