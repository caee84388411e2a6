"""Tests that `up` starts and stops only the processes that a change of the catalog concerns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from service.models.catalogue import BaseModelEntry, Catalogue
from service.standalone import services, up
from service.standalone.layout import DataLayout
from service.standalone.services import Ports, free_port
from service.standalone.supervisor import Supervisor

pytestmark = pytest.mark.slow
ONE, TWO = "vllm-one", "vllm-two"


@pytest.fixture
async def models(tmp_path: Path, monkeypatch) -> AsyncIterator[up._Models]:
    """The processes of a folder. The engines end at once, because their models have no folder."""
    monkeypatch.setattr(up, "_FOLLOW_S", 0.1)
    monkeypatch.setattr(up, "_FORGET_S", 0.1)
    layout = DataLayout(tmp_path)
    with layout.open(note=""):
        supervisor = Supervisor(layout.run, layout.logs)
        ports = Ports(api=free_port(), valkey=free_port(), worker=free_port())
        env = services.environment(layout, ports, "127.0.0.1")
        yield up._Models(supervisor, layout, Catalogue(layout.models_file), env, ports)
        await supervisor.stop()


def entry(tmp_path: Path, name: str, **changes: object) -> BaseModelEntry:
    return BaseModelEntry.model_validate(
        {"id": name, "path": tmp_path / name, "license": "mit", "context_length": 64} | changes
    )


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not check():
            await asyncio.sleep(0.05)


async def test_a_change_of_the_catalog_concerns_only_its_model(models, tmp_path):
    catalogue = models._catalogue
    catalogue.add(entry(tmp_path, "one"))
    started = await models.apply()
    assert {service.name for service in started} == {ONE, "worker"}
    following = asyncio.create_task(models.follow())
    catalogue.add(entry(tmp_path, "two"))
    await until(lambda: TWO in models._running)
    urls = json.loads(models._layout.upstreams.read_text())
    assert urls.keys() == {"one", "two"}
    kept = {service.name: service for service in started}
    assert {name: models._running[name][0] for name in kept} == kept

    catalogue.remove("two")
    await until(lambda: TWO not in models._running)
    await until(lambda: not (models._layout.run / f"{TWO}.group").exists())
    assert json.loads(models._layout.upstreams.read_text()) == {"one": urls["one"]}
    catalogue.remove("one")  # an entry that differs is another engine on the same address
    catalogue.add(entry(tmp_path, "one", context_length=128))
    await until(lambda: models._running[ONE][0] is not kept[ONE])
    assert models._running["worker"][0] is kept["worker"]
    following.cancel()


async def test_a_catalog_that_cannot_be_read_changes_nothing(models, tmp_path, caplog):
    models._catalogue.add(entry(tmp_path, "one"))
    started = await models.apply()
    following = asyncio.create_task(models.follow())
    models._catalogue.file.write_text("models: [")
    await until(lambda: "the catalog cannot be followed" in caplog.text)
    assert [service for service, _ in models._running.values()] == started
    following.cancel()
