"""The `finetuned export` command: a trained model for other software."""

from __future__ import annotations

import math
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from finetuned.cli import complete
from finetuned.cli.failures import ExportEnded, WrongUsage
from finetuned.cli.output import Json, Out
from finetuned.cli.session import client
from finetuned.client import Client
from finetuned.types import ExportMergedOnto, ExportObject


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", autocompletion=complete.models, show_default=False)
    ],
    format: Annotated[
        str, typer.Option("--format", "-f", help="adapter, merged, gguf, gguf-adapter or ollama.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="New folder, or a file that ends in .tar."),
    ],
    quantization: Annotated[
        str | None, typer.Option("--quantization", "-q", help="f16, q8_0, q5_k_m or q4_k_m.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Export a trained model, wait for the export, and download it.

    The server loads the export and compares its answers with those that it serves.
    """
    out = Out(as_json)
    if output.exists():
        raise WrongUsage(f"{output} exists already.", next_step="Choose another --output.")
    with client() as server:
        made = server.exports.create(model=model, format=format, quantization=quantization)
        found = server.exports.wait(made.id, on_change=lambda one: _say(one, out))
        if found.status != "succeeded":
            error = found.error
            raise ExportEnded(
                f"There is no export: {error.message if error else found.status}",
                code=error.code if error else found.status,
            )
        _save(server, found, output)
    if out.json:
        out.value(found)
        return
    proof = found.proof
    out.facts(
        [
            ("export", found.id),
            ("output", str(output)),
            ("bytes", found.bytes),
            ("sha256", found.sha256),
            ("same answers", proof and f"{proof.same_answers} of {proof.answers}"),
            ("chrF", proof and f"{proof.chrf:.2f}"),
            ("difference of probabilities", proof and _percent(proof.logprob_difference)),
            ("merged onto", proof and proof.merged_onto and _merged_onto(proof.merged_onto)),
        ]
    )


def _merged_onto(found: ExportMergedOnto) -> str:
    """Name the base weights, with how far each lies from the engine if both were tried."""
    tried = {"bf16": found.bf16_difference, "nf4": found.nf4_difference}
    figures = [f"{name} {_percent(gap)}" for name, gap in tried.items() if gap is not None]
    return f"{found.base} weights" + (f" ({', '.join(figures)})" if figures else "")


def _percent(nats: float) -> str:
    """Show a difference of log-probabilities as that of the probabilities."""
    return f"{math.expm1(nats):.1%}"


def _say(export: ExportObject, out: Out) -> None:
    out.say(export.progress.step if export.progress else export.status, "dim")


def _save(server: Client, export: ExportObject, output: Path) -> None:
    """Write the archive to `output`, or its files if that is a folder."""
    if output.suffix == ".tar":
        server.exports.download(export.id, output)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".finetuned-") as folder:
        archive = server.exports.download(export.id, Path(folder) / "export.tar")
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")
        archive.unlink()
        (Path(folder) / export.id).rename(output)
