"""The `finetuned exports` and `finetuned imports` commands: models to and from elsewhere."""

from __future__ import annotations

import math
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer
from finetuned import Client
from finetuned.types import ExportMergedOnto, ModelExport

from finetuned_cli import complete
from finetuned_cli.failures import ExportEnded, require_new
from finetuned_cli.nouns import Noun, Table, say, show
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, size, when
from finetuned_cli.sending import shown
from finetuned_cli.session import client
from finetuned_cli.tables import Column

exports = App(help="Copies of trained models for other software.", no_args_is_help=True)
_exports = Noun(exports, "model_exports", "EXPORT_ID")
Format = Literal["adapter", "merged", "gguf", "gguf-adapter", "ollama"]
Quantization = Literal["f16", "q8_0", "q5_k_m", "q4_k_m"]
Output = Annotated[
    Path,
    typer.Option("--output", "-o", help="New folder, or a file that ends in .tar."),
]


@exports.command("create")
def create_export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", autocompletion=complete.models, show_default=False)
    ],
    format: Annotated[
        Format, typer.Option("--format", "-f", help="Format of the copy.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Wait, and download to a new folder or a file named *.tar."
        ),
    ] = None,
    quantization: Annotated[
        Quantization | None, typer.Option("--quantization", "-q", help="Of gguf and ollama.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Export a trained model; with --output, wait for the export and download it.

    The server loads the export and compares its answers with those that it serves.
    """
    out = Out(as_json)
    require_new(output)
    with client() as server:
        made = server.model_exports.create(model=model, format=format, quantization=quantization)
        if output is None:
            say(made, made.id, out)
            out.say(f"Download it later: finetuned exports download {made.id} -o PATH")
            return
        _download(server, made.id, output, out)


@exports.command("download")
def download_export(
    export_id: Annotated[str, typer.Argument(metavar="EXPORT_ID", show_default=False)],
    output: Output,
    as_json: Json = False,
) -> None:
    """Wait for an export, and download it."""
    require_new(output)
    with client() as server:
        _download(server, export_id, output, Out(as_json))


def _download(server: Client, export_id: str, output: Path, out: Out) -> None:
    """Wait for an export, and write its archive to `output`, or its files if that is a folder."""
    said = ""

    def tell(one: ModelExport) -> None:
        nonlocal said
        step = (one.progress and one.progress.step) or one.status
        if step != said:
            said = step
            out.say(step, "dim")

    found = server.model_exports.wait(export_id, on_change=tell)
    if found.status != "completed":
        error = found.error
        raise ExportEnded(
            f"There is no export: {error.message if error else found.status}",
            code=error.code if error else found.status,
        )
    if output.suffix == ".tar":
        server.model_exports.download(export_id, output)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".finetuned-") as folder:
            archive = server.model_exports.download(export_id, Path(folder) / "export.tar")
            with tarfile.open(archive) as files:
                files.extractall(folder, filter="data")
            archive.unlink()
            (Path(folder) / export_id).rename(output)
    show(found, lambda one: [("output", str(output)), *_facts(one)], out)


def _facts(found: ModelExport) -> list[tuple[str, object]]:
    result = found.result
    proof = result and result.proof
    return [
        ("export", found.id),
        ("status", found.status),
        ("error", found.error and found.error.message),
        ("model", found.model),
        ("format", found.format),
        ("bytes", result and result.bytes),
        ("sha256", result and result.sha256),
        ("same answers", proof and f"{proof.same_answers} of {proof.answers}"),
        ("chrF", proof and f"{proof.chrf:.2f}"),
        ("difference of probabilities", proof and _percent(proof.logprob_difference)),
        ("merged onto", proof and proof.merged_onto and _merged_onto(proof.merged_onto)),
    ]


def _merged_onto(found: ExportMergedOnto) -> str:
    """Name the base weights, with how far each lies from the engine if both were tried."""
    tried = {"bf16": found.bf16_difference, "nf4": found.nf4_difference}
    figures = [f"{name} {_percent(gap)}" for name, gap in tried.items() if gap is not None]
    return f"{found.base} weights" + (f" ({', '.join(figures)})" if figures else "")


def _percent(nats: float) -> str:
    """Show a difference of log-probabilities as that of the probabilities."""
    return f"{math.expm1(nats):.1%}"


_exports.list(
    "List the project's exports, newest first.",
    Table(
        [
            *("id", "status", Column("format", 2), Column("model", 3, cut="middle")),
            *(Column("size", 4), Column("created", 1)),
        ],
        lambda e: (
            *(e.id, e.status, e.format, e.model),
            *(size(e.result.bytes) if e.result else "", when(e.created_at)),
        ),
        "no exports yet: `finetuned exports create MODEL --format adapter`",
    ),
    limit=20,
)
_exports.show("Show an export, and how its answers compare.", _facts)
_exports.action("cancel", "Cancel an export.", lambda e: f"{e.id} is {e.status}")
_exports.delete("Delete an export with its archive.", "Delete {}?")

imports = App(help="Adapters that were trained elsewhere.", no_args_is_help=True)
_imports = Noun(imports, "model_imports", "IMPORT_ID")


@imports.command("create")
def create_import(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="Folder of a PEFT LoRA adapter, a tar or zip of it, or the id of an upload.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="Base model of the adapter.", autocompletion=complete.bases
        ),
    ],
    suffix: Annotated[str | None, typer.Option(help="Suffix in the model's name.")] = None,
    as_json: Json = False,
) -> None:
    """Import a LoRA adapter that was trained elsewhere. It is then used like any trained model."""
    out = Out(as_json)
    with client() as server, shown(source, out) as tell:
        done = server.models.import_adapter(
            source, base_model=model, suffix=suffix, on_progress=tell
        )
    if out.json:
        out.value(done)
        return
    assert done.result is not None
    out.line(done.result.model)
    for finding in done.result.findings:
        out.say(f"{finding.severity}: {finding.message} {finding.fix}")


_imports.list(
    "List the project's imports, newest first.",
    Table(
        ["id", "status", Column("model", 1, cut="middle"), Column("created", 2)],
        lambda i: (i.id, i.status, i.result and i.result.model, when(i.created_at)),
        "no imports yet: `finetuned imports create PATH --model MODEL`",
    ),
    limit=20,
)
_imports.show(
    "Show an import.",
    lambda i: [
        *(("id", i.id), ("status", i.status), ("model", i.result and i.result.model)),
        *(("base model", i.base_model), ("archive", i.file_id)),
        *(("error", i.error and i.error.message), ("created", when(i.created_at))),
    ],
)
_imports.action("cancel", "Cancel an import.", lambda i: f"{i.id} is {i.status}")
_imports.delete("Delete an import. Its model is kept.", "Delete {}?")
