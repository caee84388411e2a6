"""Operator tasks: adding and removing models, removing garbage, and encryption at rest."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from service.backup.contents import BackupError
from service.backup.restore import require_alone
from service.batches.records import Batches
from service.cli.connections import (
    open_redis,
    open_storage,
    recorded,
    redis_url,
    running_or_alone,
    stopped,
    storage_url,
)
from service.config import Settings
from service.core import ids
from service.core.encryption.keyring import FOLDER, owner_of
from service.core.encryption.master import MasterKeyError
from service.core.records import Unreadable
from service.core.redis import Client
from service.core.storage import MANIFEST, Storage, StoredObject
from service.evals.records import Evals
from service.exports.records import Exports
from service.files.records import Files
from service.files.stored_chats.records import Captures
from service.files.uploads.records import Uploads
from service.generation.records import Generations
from service.inference.engine.launch import EngineConfigError, claim_cache
from service.inference.engine.merged import MergeFailed, folder_name, prepare, sweep
from service.jobs.checkpoints import adapters_of, folder_of
from service.jobs.records import FINAL, Jobs
from service.models import add
from service.models.adapters import load_signing_key
from service.models.catalogue import BaseModelEntry, Catalogue, CatalogueError, ServingQuantization
from service.models.model_folder import ModelRefused
from service.models.parsers import ReasoningParsers, ToolCallParsers
from service.models.records import base_of
from service.models.registry import ModelRegistry
from service.models.sources.manifest import Report
from service.projects.records import Projects
from service.standalone.layout import DataLayout
from service.training.model.base_folder import read_config, unquantizable, untrainable
from service.web.audit_events import AuditEvent

Reader = Callable[[str, str], Awaitable[object | None]]


@dataclass
class Garbage:
    """The folders that no record refers to, with their objects, and what was left alone."""

    folders: dict[str, list[StoredObject]] = field(default_factory=dict)
    projects_without_record: set[str] = field(default_factory=set)
    restorable: int = 0

    @property
    def size(self) -> int:
        """The total size in bytes."""
        return sum(found.size for objects in self.folders.values() for found in objects)


class Collector:
    """Compares storage with the records."""

    def __init__(self, redis: Client, storage: Storage) -> None:
        self._storage = storage
        files = Files(redis, storage)
        self._projects = Projects(redis)
        self._jobs = Jobs(redis)
        self._readers: dict[str, Reader] = {
            "files": files.records.get,
            "uploads": Uploads(redis, files).records.get,
            "evals": Evals(redis).evals.get,
            "exports": Exports(redis).records.get,
            "batches": Batches(files).records.get,
            "generations": Generations(files).records.get,
            "captures": Captures(redis, storage).records.get,
        }

    async def find(self, *, older_than_s: int) -> Garbage:
        """Find the folders all of whose objects are older than this. Raises StorageError."""
        latest = ids.now_s() - older_than_s
        garbage = Garbage()
        for (project_id, room, subject_id), objects in _by_subject(await self._storage.objects()):
            if not await _exists(self._project, project_id, project_id):
                garbage.projects_without_record.add(project_id)
                continue
            for folder, found in await self._unreferenced(project_id, room, subject_id, objects):
                if max(each.written_at for each in found) > latest:
                    continue
                if room != "jobs" and f"{folder}/{MANIFEST}" in {each.key for each in found}:
                    garbage.restorable += 1
                else:
                    garbage.folders[folder] = found
        return garbage

    async def remove(self, garbage: Garbage) -> None:
        """Remove what was found. Raises StorageError."""
        for folder in garbage.folders:
            await self._storage.delete_prefix(folder)

    async def _project(self, project_id: str, _: str) -> object | None:
        return await self._projects.get(project_id)

    async def _unreferenced(
        self, project_id: str, room: str, subject_id: str, objects: list[StoredObject]
    ) -> list[tuple[str, list[StoredObject]]]:
        if room == "jobs":
            return await self._of_job(project_id, subject_id, objects)
        read = self._readers.get(room)
        if read is None or await _exists(read, project_id, subject_id):
            return []
        return [(f"{project_id}/{room}/{subject_id}", objects)]

    async def _of_job(
        self, project_id: str, job_id: str, objects: list[StoredObject]
    ) -> list[tuple[str, list[StoredObject]]]:
        """The folders of a job that has ended, without its adapters.

        The record of a job that is unknown may have been lost, so its adapters stay.
        """
        try:
            job = await self._jobs.get(project_id, job_id)
        except Unreadable:
            return []
        if job is None or job.status not in FINAL:
            return []
        served = await adapters_of(self._jobs, job)
        folders: dict[str, list[StoredObject]] = defaultdict(list)
        for found in objects:
            folder = folder_of(found.key)
            if folder is not None and folder not in served:
                folders[folder].append(found)
        return [*folders.items()]


async def _exists(read: Reader, project_id: str, record_id: str) -> bool:
    try:
        return await read(project_id, record_id) is not None
    except Unreadable:
        return True


def _by_subject(
    objects: list[StoredObject],
) -> Iterator[tuple[tuple[str, str, str], list[StoredObject]]]:
    """Group the objects by project, kind and ID. Keys of another form are not ours."""
    groups: dict[tuple[str, str, str], list[StoredObject]] = defaultdict(list)
    for found in objects:
        project_id, _, rest = found.key.partition("/")
        room, _, rest = rest.partition("/")
        subject_id = rest.partition("/")[0]
        if ids.is_valid(project_id, ids.PROJECT) and subject_id:
            groups[project_id, room, subject_id].append(found)
    yield from groups.items()


_SHOWN_NEEDING = 5

CHORE_ERRORS = (
    BackupError,
    CatalogueError,
    EngineConfigError,
    MergeFailed,
    ModelRefused,
    OSError,
    ValueError,
)


def catalogue(data_dir: Path | None) -> Catalogue:
    """The catalog of a standalone folder, or the one from the settings."""
    file = DataLayout(data_dir).models_file if data_dir else Settings().models_file
    return Catalogue(file)


def add_model(
    data_dir: Path | None,
    source: Path,
    model_id: str,
    license_id: str | None,
    languages: tuple[str, ...],
    context_length: int | None,
    revision: str | None,
    report: Report,
    *,
    serving_quantization: ServingQuantization = "auto",
    serving_path: Path | None = None,
) -> str:
    """Add a base model and return a message for the operator."""
    root = data_dir or Settings().data_dir
    entry = add.add_model(
        source,
        catalogue=catalogue(data_dir),
        models_dir=DataLayout(root.resolve()).models,
        model_id=model_id,
        license_id=license_id,
        languages=languages,
        context_length=context_length,
        revision=revision,
        report=report,
        serving_quantization=serving_quantization,
        serving_path=serving_path,
    )
    parser = ToolCallParsers(Settings().tool_call_parser).choose(entry)
    tools = f"tool calls parsed by '{parser}'" if parser else "no tool calls"
    thoughts = ReasoningParsers(Settings().reasoning_parser).choose(entry)
    thinking = f", thoughts parsed by '{thoughts}'" if thoughts else ""
    return (
        f"added {entry.id}: {entry.parameters or 0:,} parameters, license {entry.license}, context "
        f"{entry.context_length}, {tools}{thinking}. {_how_to_serve(data_dir, entry.id)}."
        f"{_training_note(entry)}"
    )


def _how_to_serve(data_dir: Path | None, model: str) -> str:
    """The next command, which serves a model of a standalone folder, or of the settings."""
    if data_dir is None:
        return f"Start its engine with 'finetuned-server inference {model}'"
    return f"To serve it, start '{_up(data_dir)}' (again, if it is running)"


def _up(data_dir: Path) -> str:
    return f"finetuned-server up --data-dir {shlex.quote(str(data_dir))}"


async def remove_model(data_dir: Path | None, model_id: str) -> str:
    """Remove a base model that nothing needs and return a message for the operator.

    Raises ValueError if something does.
    """
    models = catalogue(data_dir)
    if (entry := models.get(model_id)) is None:
        raise ValueError(f"the catalog has no model '{model_id[:200]}'")
    async with (
        running_or_alone(data_dir) as redis,
        recorded(redis, AuditEvent.BASE_MODEL_REMOVED) as chore,
    ):
        chore.objects = (model_id,)
        if needing := [text async for text in _needing(redis, models, model_id)]:
            shown = ", ".join(needing[:_SHOWN_NEEDING])
            more = f" and {len(needing) - _SHOWN_NEEDING} more" * (len(needing) > _SHOWN_NEEDING)
            raise ValueError(
                f"{model_id} is needed by {shown}{more}. Delete or cancel these first: they do not "
                "work without their base model."
            )
        models.remove(model_id)
    return (
        f"removed {model_id}. Its files are still in {entry.path}. If its engine is running, stop "
        "it, or start 'finetuned-server up' again."
    )


async def _needing(redis: Client, models: Catalogue, model_id: str) -> AsyncIterator[str]:
    """Describe what would no longer work without a base model."""
    registry, jobs = ModelRegistry(redis, models, cache_s=0), Jobs(redis)
    for project_id, job_id in await jobs.active():
        job = await jobs.get(project_id, job_id)
        if job is not None and job.model == model_id:
            yield f"the job {job_id}"
    for project_id in await Projects(redis).kept_ids():
        for name in await registry.models.ids(project_id):
            if base_of(name) == model_id:
                yield f"the model {name}"
        names = await registry.aliases.ids(project_id)
        for alias in await registry.aliases.get_many(project_id, names):
            if any(target.model == model_id for target in alias.targets):
                yield f"the alias {alias.id} of {project_id}"


def _training_note(entry: BaseModelEntry) -> str:
    """What to know before a training on this model, if there is something."""
    config = read_config(entry.path) or {}
    if why := untrainable(config):
        return f" It can be served, but not trained: {why}."
    if why := unquantizable(config, "nf4"):
        return f" Its trainings cannot be quantized: {why}."
    return ""


async def merge_model(data_dir: Path | None, name: str) -> str:
    """Merge a trained model for its own engine and return a message for the operator."""
    settings, models = _settings(data_dir), catalogue(data_dir)
    entry = models.entry_of(name)
    if name not in entry.merged:
        home = claim_cache(settings.adapter_cache, folder_name(name))
        await prepare(settings, entry, name, home)
        models.set_merged(name, True)
    how = _how_to_serve(data_dir, name)
    where = "" if data_dir else ", and add its address to FINETUNED_UPSTREAMS"
    return f"{name} is merged. {how}{where}."


def unmerge_model(data_dir: Path | None, name: str) -> str:
    """Serve a trained model as an adapter again and return a message for the operator."""
    models = catalogue(data_dir)
    models.set_merged(name, False)
    settings = Settings() if data_dir is None else Settings(data_dir=data_dir.resolve())
    sweep(settings.adapter_cache, models.merged())
    how = "stop it" if data_dir is None else f"start '{_up(data_dir)}' again"
    return (
        f"{name} is served by its base model's engine. If its own engine is still running, {how}."
    )


async def gc(data_dir: Path | None, *, dry_run: bool, older_than_s: int) -> Iterator[str]:
    """Remove what no record refers to from storage, and return lines for the operator."""
    async with open_redis(data_dir) as redis:
        collector = Collector(redis, Storage.from_url(storage_url(data_dir)))
        garbage = await collector.find(older_than_s=older_than_s)
        if not dry_run:
            async with recorded(redis, AuditEvent.GARBAGE_REMOVED) as chore:
                chore.objects = tuple(garbage.folders)
                chore.counts = {"folders": len(garbage.folders), "bytes": garbage.size}
                await collector.remove(garbage)
    return _lines(garbage, "would remove" if dry_run else "removed")


def _lines(garbage: Garbage, verb: str) -> Iterator[str]:
    for folder, objects in garbage.folders.items():
        size = sum(found.size for found in objects)
        yield f"{verb} {folder}: {len(objects)} objects, {size:,} bytes"
    yield f"{verb} {len(garbage.folders)} folders with {garbage.size:,} bytes in total"
    if garbage.restorable:
        yield f"kept {garbage.restorable} files without a record, which 'rebuild' can restore"
    for project_id in sorted(garbage.projects_without_record):
        yield f"kept everything of {project_id}, which has no record: run 'rebuild' first"


def _settings(data_dir: Path | None) -> Settings:
    """Settings of a standalone folder on which `up` has run, or those of the environment."""
    if data_dir is None:
        return Settings()
    layout = DataLayout(data_dir.resolve())
    return Settings(
        data_dir=layout.root,
        models_file=layout.models_file,
        storage_url=layout.storage.as_uri(),
        redis_url=SecretStr(redis_url(data_dir)),
    )


async def sign_models(data_dir: Path | None) -> str:
    """Sign all trained models that have no signature. Raises ValueError without a key."""
    settings = Settings()
    key = load_signing_key(settings.signing_key_file)
    if key is None:
        raise ValueError("there is no key to sign with: set FINETUNED_SIGNING_KEY_FILE")
    async with open_redis(data_dir) as redis:
        registry = ModelRegistry(redis, catalogue(data_dir), cache_s=0, signer=key)
        async with recorded(redis, AuditEvent.MODEL_SIGNED) as chore:
            signed = [name async for name in registry.sign_all()]
            chore.objects, chore.counts = tuple(signed), {"models": len(signed)}
    return f"signed {len(signed)} models with the key {key.public.id}"


_REPORT_EVERY: Final = 1000
_CHECK_EVERY: Final = 100  # objects between checks for processes that have started
_PATIENCE_S: Final = 60.0
_NO_KEY: Final = (
    "no master key is set: make one with 'finetuned-server new-master-key', and set "
    "FINETUNED_ENCRYPTION_KEY_FILE"
)


async def encrypt(data_dir: Path | None) -> AsyncIterator[str]:
    """Encrypt all objects that are not encrypted, and yield lines for the operator.

    Objects are rewritten in place. So what a process deletes or writes at the same time could come
    back or be lost. If it is interrupted, the next run continues.

    Raises InUse or AlreadyRunning while the API or a worker runs; StorageError; BackupError without
    Redis, and ValueError without a master key.
    """
    _require_key()
    done = seen = 0
    async with stopped(data_dir) as redis, recorded(redis, AuditEvent.STORAGE_ENCRYPTED) as chore:
        storage = open_storage(data_dir, patience_s=_PATIENCE_S)
        for key in await storage.keys(""):
            if owner_of(key) is None:
                continue
            if seen % _CHECK_EVERY == 0:
                await require_alone(redis)
            seen += 1
            if not await storage.is_encrypted(key):
                await storage.copy(key, key)
                done += 1
                chore.counts["objects"] = done
            if seen % _REPORT_EVERY == 0:
                yield f"looked at {seen:,} objects, encrypted {done:,}"
    yield f"encrypted {done:,} of {seen:,} objects; the others were already"


async def rotate(data_dir: Path | None) -> AsyncIterator[str]:
    """Wrap all data keys with the first master key, and yield a line for the operator."""
    _require_key()
    async with (
        running_or_alone(data_dir) as redis,
        recorded(redis, AuditEvent.MASTER_KEY_ROTATED) as chore,
    ):
        storage = open_storage(data_dir, patience_s=_PATIENCE_S)
        assert storage.keyring is not None  # there is a key
        keys = await storage.keys(f"{FOLDER}/")
        owners = [key.removeprefix(f"{FOLDER}/").removesuffix(".json") for key in keys]
        done = sum([await storage.rewrap(owner) for owner in owners])
        chore.objects, chore.counts = (storage.keyring.master.id,), {"keys": done}
    yield f"wrapped {done:,} of {len(owners):,} data keys with {storage.keyring.master.id}"


def _require_key() -> None:
    """Raise ValueError without a master key, before anything is started or made."""
    try:
        key = Settings().master_key()
    except MasterKeyError as e:
        raise ValueError(str(e)) from e
    if key is None:
        raise ValueError(_NO_KEY)
