"""The commands about the evidence of models: download it, and verify it without a server."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from finetuned.errors import OperationFailed
from finetuned.evidence import verify as verify_evidence

from finetuned_cli import complete
from finetuned_cli.failures import require_new
from finetuned_cli.options import App
from finetuned_cli.output import Json, Out, when
from finetuned_cli.session import client

app = App(help="Evidence of models: verify an archive.", no_args_is_help=True)


@app.callback()
def evidence() -> None:
    """Make a group of the only command."""


def download(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", autocompletion=complete.models, show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="New file, named *.tar.")],
    include_text: Annotated[
        bool,
        typer.Option(
            "--include-text",
            help="Include training rows, prompts, graders and answers. Needs a role that may read "
            "training data.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Download the signed evidence of a trained model. Requires the role project_admin, admin or
    auditor. `finetuned evidence verify` checks it."""
    require_new(output)
    with client() as server:
        data = server.models.evidence.retrieve(model, include_text=include_text or None)
    output.write_bytes(data)
    out = Out(as_json)
    if out.json:
        out.value({"model": model, "output": str(output), "bytes": len(data)})
    else:
        out.line(str(output))


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace")


@app.command()
def verify(
    archive: Annotated[
        Path,
        typer.Argument(
            metavar="ARCHIVE",
            help="The archive, or the folder that it was unpacked to.",
            exists=True,
            show_default=False,
        ),
    ],
    keys: Annotated[
        list[Path],
        typer.Option(
            "--key",
            help="Public key of the installation as PEM, as `finetuned-server audit key` prints "
            "it; repeatable if the key was changed.",
            exists=True,
            dir_okay=False,
        ),
    ],
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            help="A checkpoint of the audit log that was kept elsewhere; repeatable.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the adapter that the evidence should be about.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that nothing in the evidence was changed, removed or added. Needs no server.

    Exits with 5 and names what is wrong if something was.
    """
    out = Out(as_json)
    found = verify_evidence(
        archive,
        [path.read_bytes() for path in keys],
        checkpoints=[_text(path) for path in checkpoints or ()],
        adapter=adapter,
    )
    if out.json:
        out.value(asdict(found))
    else:
        for problem in found.problems:
            out.line(f"problem: {problem}")
        for reason in found.missing:
            out.line(f"not in the archive: {reason}")
        for note in found.notes:
            out.line(f"note: {note}")
    if found.problems:
        raise OperationFailed(
            f"The evidence is not valid: {len(found.problems)} problems.",
            next_step="Get the archive again from its owner, and the public key by another way.",
        )
    if not out.json:
        out.line(
            f"{found.model}: valid, made {when(found.created_at)}, signed with the key "
            f"{found.key_id}: {found.members} members, {found.entries} proven entries of the audit "
            f"log, {found.receipts} receipts"
        )
