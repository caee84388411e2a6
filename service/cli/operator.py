"""Operator tasks other than running processes: models and garbage."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from pydantic import SecretStr

from service.backup.errors import BackupError
from service.cli.connections import opened_redis, redis_url, running_or_alone, storage_url
from service.cli.gc import Collector, Garbage
from service.cli.recorded import recorded
from service.config import Settings
from service.core.audit_events import AuditEvent
from service.core.redis import Client
from service.core.storage import Storage
from service.inference.engine.launch import EngineConfigError, claim_cache
from service.inference.engine.merged import MergeFailed, folder_name, prepare, sweep
from service.jobs.records import Jobs
from service.models import add, encoders
from service.models.adapters import load_signing_key
from service.models.catalogue import (
    BaseModelEntry,
    Catalogue,
    CatalogueError,
    ServingQuantization,
)
from service.models.inspect import ModelRefused
from service.models.parsers import ReasoningParsers, ToolCallParsers
from service.models.records import base_of
from service.models.registry import ModelRegistry
from service.models.sources.manifest import Report
from service.projects.records import Projects
from service.standalone.layout import DataLayout
from service.training.model.stored_weights import read_config, unquantizable, untrainable

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


def add_encoder(
    data_dir: Path | None, source: Path, encoder_id: str, license_id: str, prompt: str
) -> str:
    """Add an encoder and return a message for the operator."""
    entry = encoders.add_encoder(
        source,
        catalogue=catalogue(data_dir),
        encoder_id=encoder_id,
        license_id=license_id,
        prompt=prompt,
    )
    return f"added {entry.id}: reports with encoder={entry.id} compare rows by meaning."


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
    async with opened_redis(data_dir) as redis:
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
    async with opened_redis(data_dir) as redis:
        registry = ModelRegistry(redis, catalogue(data_dir), cache_s=0, signer=key)
        async with recorded(redis, AuditEvent.MODEL_SIGNED) as chore:
            signed = [name async for name in registry.sign_all()]
            chore.objects, chore.counts = tuple(signed), {"models": len(signed)}
    return f"signed {len(signed)} models with the key {key.public.id}"
