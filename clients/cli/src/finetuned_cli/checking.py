"""The `finetuned files check` command: the service's own check, on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from finetuned.errors import FinetunedError
from finetuned.types import DatasetReportContent, ReportIssue

from finetuned_cli.formats import FormatOptions, format_of
from finetuned_cli.hints import with_commands
from finetuned_cli.output import Json, Out, size
from finetuned_cli.reports import print_findings, show

_SERVER = "finetuned-server"
_NOT_OK = 5


def check(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", exists=True, dir_okay=False, show_default=False)
    ],
    options: FormatOptions = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Also write a report with statistics, duplicates, personal data and advice here: "
            "HTML, or Markdown if the name ends in .md.",
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a data file on this machine, without uploading it. Exits with 5 if it is refused.

    Needs the service (`finetuned-server`) to be installed here; it need not run.
    """
    out = Out(as_json)
    found = _checked(path, format_of(options), report)
    if out.json:
        out.value(found)
    elif found["error"] is None:
        _show(found, path, out)
    else:
        out.line(f"{path.name} cannot be read: {with_commands(found['error']['message'])}")
    if report is not None and found["error"] is None and not out.json:
        out.line(f"wrote {report}")
    if found["ok"] and not out.json:
        out.line(f"next: finetuned files upload {path}")
    if not found["ok"]:
        raise typer.Exit(_NOT_OK)


def _checked(path: Path, options: dict[str, Any], report: Path | None) -> dict[str, Any]:
    command = [_server(path), "files", "check", str(path), "--json"]
    if report is not None:
        command += ["--report", str(report)]
    done = subprocess.run(
        [*command, "--options", json.dumps(options)], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, _NOT_OK):
        reason = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise FinetunedError(f"The check ended without a result: {reason}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _server(path: Path) -> str:
    """Return the service's command: the one next to this Python, else the one on the path."""
    beside = shutil.which(_SERVER, path=str(Path(sys.executable).parent))
    if (command := beside or shutil.which(_SERVER)) is None:
        raise FinetunedError(
            "Checking a file on this machine needs the service, which is not installed here.",
            next_step=f"Let the server check it: `finetuned files upload {path}`.",
        )
    return command


def _show(found: dict[str, Any], path: Path, out: Out) -> None:
    if found["report"] is not None:
        show(DatasetReportContent.model_validate(found["report"]), out)
        return
    checked, source = found["validation"], found["found"]
    needed = found["min_training_rows"]
    is_short = checked["valid_rows"] < needed
    out.facts(
        [
            ("file", path),
            ("format", f"{source['container']}, {source['shape']}, {size(checked['bytes'])}"),
            ("rows", f"{checked['rows']:,}, of which {checked['valid_rows']:,} valid"),
            ("errors", checked["errors"]),
            ("warnings", checked["warnings"]),
            ("too few", f"a job needs at least {needed} rows" if is_short else None),
        ]
    )
    print_findings([ReportIssue.model_validate(one) for one in checked["issues"]], out)
