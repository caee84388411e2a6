"""`finetuned-server models`: the catalog of base models, and merged models."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from service.cli.common import App, DataDir, Json, fail

app = App(help="Base models.")

Revision = Annotated[
    str | None,
    typer.Option(help="Branch, tag or commit in a Hugging Face cache, or tag in an OCI layout."),
]


def _record(data_dir: Path | None, event: str, name: str) -> None:
    """Record a change of the catalog in the audit log, if Redis can be reached."""
    from service.cli.connections import record_if_possible
    from service.web.audit_events import AuditEvent

    if why_not := asyncio.run(record_if_possible(data_dir, AuditEvent(event), name)):
        _progress(f"finetuned-server: {why_not}")


@app.command("list")
def list_models(
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List the base models in the catalog."""
    from service.cli.operator import catalogue
    from service.models.catalogue import CatalogueError

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
        typer.Argument(
            help="A Hugging Face folder, a GGUF file, a bundle, an OCI layout, a Hugging Face "
            "cache, or the name ORG/NAME of a model in this machine's cache."
        ),
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
        Literal["auto", "none", "fp8", "nf4"],
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
    revision: Revision = None,
    data_dir: DataDir = None,
) -> None:
    """Verify a base model on this machine and add it to the catalog. Nothing is downloaded.

    Pickles and custom code are refused.
    """
    from service.cli import operator

    try:
        typer.echo(
            operator.add_model(
                data_dir,
                source,
                model_id,
                license_id,
                tuple(language or ()),
                context_length,
                revision,
                report=_progress,
                serving_quantization=serving_quantization,
                serving_path=serving_path,
            )
        )
        _record(data_dir, "base_model.added", model_id)
    except operator.CHORE_ERRORS as e:
        fail(e)


@app.command("remove")
def remove(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a base model.")],
    data_dir: DataDir = None,
) -> None:
    """Remove a base model from the catalog. Its files are kept.

    Refused while something needs it: trained models, unfinished jobs and aliases of any project.
    """
    from service.cli import operator

    try:
        typer.echo(asyncio.run(operator.remove_model(data_dir, model_id)))
    except operator.CHORE_ERRORS as e:
        fail(str(e))


@app.command("bundle")
def bundle(
    source: Annotated[
        Path,
        typer.Argument(
            help="A Hugging Face folder, a Hugging Face cache, or the name ORG/NAME of a model in "
            "this machine's cache."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, FILE.tar.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the model. Defaults to the source's.")
    ] = None,
    license_id: Annotated[
        str | None,
        typer.Option(
            "--license", help="SPDX id, such as apache-2.0. Defaults to the model card's."
        ),
    ] = None,
    revision: Revision = None,
) -> None:
    """Write a model and its digests to one file, for 'models add' on a machine without a network.

    Needs neither a GPU nor a running service. Nothing is downloaded.
    """
    from service.models.model_folder import ModelRefused
    from service.models.sources.write_bundle import bundle_model

    try:
        made = bundle_model(source, output, name, license_id, revision, report=_progress)
    except (ModelRefused, OSError, ValueError) as e:
        fail(e)
    typer.echo(
        f"bundled {made.name}: {len(made.files)} files, {made.size / 1e9:,.1f} GB, license "
        f"{made.license or 'unknown'}. Copy {output} to the other machine, and run "
        f"'finetuned-server models add {output.name} --id ID' there."
    )


@app.command("merge")
def merge(
    name: Annotated[str, typer.Argument(help="Name of a trained model, ft:…")],
    data_dir: DataDir = None,
) -> None:
    """Serve a trained model from its own engine, with merged weights, at the base model's speed."""
    from service.cli import operator

    try:
        typer.echo(asyncio.run(operator.merge_model(data_dir, name)))
        _record(data_dir, "model.merged", name)
    except operator.CHORE_ERRORS as e:
        fail(e)


@app.command("sign")
def sign(data_dir: DataDir = None) -> None:
    """Sign the registrations of all trained models that have no signature yet.

    With the key in $FINETUNED_SIGNING_KEY_FILE. Engines with FINETUNED_ADAPTER_KEY_FILE load no
    others.
    """
    from service.cli import operator

    try:
        typer.echo(asyncio.run(operator.sign_models(data_dir)))
    except operator.CHORE_ERRORS as e:
        fail(e)


@app.command("unmerge")
def unmerge(
    name: Annotated[str, typer.Argument(help="Name of a merged model, ft:…")],
    data_dir: DataDir = None,
) -> None:
    """Serve a trained model as an adapter again, and remove its merged weights."""
    from service.cli import operator

    try:
        typer.echo(operator.unmerge_model(data_dir, name))
        _record(data_dir, "model.unmerged", name)
    except operator.CHORE_ERRORS as e:
        fail(e)


def _progress(line: str) -> None:
    typer.echo(line, err=True)
