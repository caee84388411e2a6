"""`finetuned-server models`: the catalog of base models."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Final

import typer

from service.backup.contents import BackupError
from service.cli.common import App, DataDir, Json, fail
from service.cli.connections import (
    catalogue,
    open_or_start_redis,
    open_redis,
    record_command,
    record_if_possible,
)
from service.config import Settings
from service.core.errors import StorageError
from service.core.redis import Client
from service.inference.engine.launch import EngineConfigError
from service.jobs.records import Jobs
from service.models.adapters import load_signing_key
from service.models.add import add_model
from service.models.catalogue import BaseModelEntry, Catalogue, CatalogueError, ServingQuantization
from service.models.fetch import fetch_model
from service.models.model_folder import ModelRefused
from service.models.parsers import ReasoningParsers, ToolCallParsers
from service.models.records import base_of
from service.models.registry import ModelRegistry
from service.projects.records import Projects
from service.standalone.layout import DataLayout
from service.training.model.base_folder import read_config, unquantizable, untrainable
from service.web.audit_events import AuditEvent

app = App(help="Base models.")
_ERRORS: Final = (
    BackupError,
    CatalogueError,
    EngineConfigError,
    ModelRefused,
    OSError,
    ValueError,
)
_SHOWN_NEEDING: Final = 5


@app.command("list")
def list_models(
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List the base models in the catalog."""
    try:
        entries = catalogue(data_dir).all()
    except CatalogueError as e:
        fail(e)
    if as_json:
        typer.echo(json.dumps([e.model_dump(mode="json") for e in entries]))
        return
    for entry in entries:
        size = f"{entry.parameters / 1e6:,.0f}M" if entry.parameters else "?"
        typer.echo(f"{entry.id}\t{size}\t{entry.context_length}\t{entry.license}\t{entry.path}")


@app.command("add")
def add(
    source: Annotated[
        Path,
        typer.Argument(help="A Hugging Face folder, which is used in place, or a GGUF file."),
    ],
    model_id: Annotated[str, typer.Option("--id", help="Model id that clients use.")],
    license_id: Annotated[
        str | None,
        typer.Option(
            "--license", help="SPDX id, such as apache-2.0. Defaults to the model card's."
        ),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(
            help="Language that the model supports. Repeatable. Defaults to the model card's."
        ),
    ] = None,
    context_length: Annotated[
        int | None, typer.Option(min=64, help="Context length, if below the model's.")
    ] = None,
    serving_quantization: Annotated[
        ServingQuantization,
        typer.Option(
            help="How engines hold the weights: in 16 bits (none), in 8 bits (fp8), in the 4 bits "
            "of QLoRA (nf4), or the first of these that fits the GPU (auto)."
        ),
    ] = "auto",
    serving_path: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the same model in AWQ, GPTQ or FP8, which engines serve in its place."
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Verify a base model on this machine and add it to the catalog. Nothing is downloaded.

    Pickles and custom code are refused.
    """
    try:
        entry = add_model(
            source,
            catalogue=catalogue(data_dir),
            models_dir=DataLayout((data_dir or Settings().data_dir).resolve()).models,
            model_id=model_id,
            license_id=license_id,
            languages=tuple(language or ()),
            context_length=context_length,
            report=_progress,
            serving_quantization=serving_quantization,
            serving_path=serving_path,
        )
        typer.echo(_describe_added(data_dir, entry))
        _record(data_dir, AuditEvent.BASE_MODEL_ADDED, model_id)
    except _ERRORS as e:
        fail(e)


@app.command("remove")
def remove(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a base model.")],
    data_dir: DataDir = None,
) -> None:
    """Remove a base model from the catalog. Its files are kept.

    Refused while something needs it: trained models, unfinished jobs and aliases of any project.
    """
    try:
        typer.echo(asyncio.run(_remove(data_dir, model_id)))
    except _ERRORS as e:
        fail(str(e))


@app.command("fetch")
def fetch(
    url: Annotated[str, typer.Argument(help="s3://BUCKET/PREFIX of a Hugging Face folder.")],
    folder: Annotated[Path, typer.Argument(help="Folder to create.")],
) -> None:
    """Copy a base model from S3 to a folder, unless it is already there.

    Credentials are those of the storage (AWS_…).
    """
    try:
        copied = asyncio.run(fetch_model(url, folder))
    except (*_ERRORS, StorageError) as e:
        fail(e)
    typer.echo(f"copied {url} to {folder}" if copied else f"{folder} is already there")


@app.command("sign")
def sign(data_dir: DataDir = None) -> None:
    """Sign the registrations of all trained models that have no signature yet.

    With the key in $FINETUNED_SIGNING_KEY_FILE. Engines with FINETUNED_ADAPTER_KEY_FILE load no
    others.
    """
    try:
        typer.echo(asyncio.run(_sign(data_dir)))
    except _ERRORS as e:
        fail(e)


def _describe_added(data_dir: Path | None, entry: BaseModelEntry) -> str:
    parser = ToolCallParsers(Settings().tool_call_parser).choose(entry)
    tools = f"tool calls parsed by '{parser}'" if parser else "no tool calls"
    reasoning = ReasoningParsers(Settings().reasoning_parser).choose(entry)
    thinking = f", reasoning parsed by '{reasoning}'" if reasoning else ""
    return (
        f"added {entry.id}: {entry.parameters or 0:,} parameters, license {entry.license}, context "
        f"{entry.context_length}, {tools}{thinking}. {_how_to_serve(data_dir, entry.id)}."
        f"{_training_note(entry)}"
    )


def _how_to_serve(data_dir: Path | None, model: str) -> str:
    """Return the next command, which serves a model."""
    if data_dir is None:
        return f"Start its engine with 'finetuned-server inference {model}'"
    return f"To serve it, start '{_up(data_dir)}', unless it is running"


def _up(data_dir: Path) -> str:
    return f"finetuned-server up --data-dir {shlex.quote(str(data_dir))}"


async def _remove(data_dir: Path | None, model_id: str) -> str:
    """Remove a base model that nothing needs and return a message for the operator.

    Raises ValueError if something does.
    """
    models = catalogue(data_dir)
    if (entry := models.get(model_id)) is None:
        raise ValueError(f"the catalog has no model '{model_id[:200]}'")
    async with (
        open_or_start_redis(data_dir) as redis,
        record_command(redis, AuditEvent.BASE_MODEL_REMOVED) as details,
    ):
        details.objects = (model_id,)
        if needing := [text async for text in _needing(redis, models, model_id)]:
            shown = ", ".join(needing[:_SHOWN_NEEDING])
            more = f" and {len(needing) - _SHOWN_NEEDING} more" * (len(needing) > _SHOWN_NEEDING)
            raise ValueError(
                f"{model_id} is needed by {shown}{more}. Delete or cancel these first: they do not "
                "work without their base model."
            )
        models.remove(model_id)
    return (
        f"removed {model_id}. Its files are still in {entry.path}. 'finetuned-server up' stops its "
        "engine; stop one that you started yourself."
    )


async def _needing(redis: Client, models: Catalogue, model_id: str) -> AsyncIterator[str]:
    """Yield the jobs, models and aliases that need a base model."""
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
    """Return the limits of trainings on this model, if there are any."""
    config = read_config(entry.path) or {}
    if why := untrainable(config):
        return f" It can be served, but not trained: {why}."
    if why := unquantizable(config, "nf4"):
        return f" Its trainings cannot be quantized: {why}."
    return ""


async def _sign(data_dir: Path | None) -> str:
    """Sign all trained models that have no signature. Raises ValueError without a key."""
    settings = Settings()
    key = load_signing_key(settings.signing_key_file)
    if key is None:
        raise ValueError("there is no key to sign with: set FINETUNED_SIGNING_KEY_FILE")
    async with open_redis(data_dir) as redis:
        registry = ModelRegistry(redis, catalogue(data_dir), cache_s=0, signer=key)
        async with record_command(redis, AuditEvent.MODEL_SIGNED) as details:
            signed = [name async for name in registry.sign_all()]
            details.objects, details.counts = tuple(signed), {"models": len(signed)}
    return f"signed {len(signed)} models with the key {key.public.id}"


def _record(data_dir: Path | None, event: AuditEvent, name: str) -> None:
    """Record a change of the catalog in the audit log, if Redis can be reached."""
    if why_not := asyncio.run(record_if_possible(data_dir, event, name)):
        _progress(f"finetuned-server: {why_not}")


def _progress(line: str) -> None:
    typer.echo(line, err=True)
