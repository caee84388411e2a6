"""`finetuned-server files`: checks of data files without a service."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from pydantic import ValidationError

from service.cli.common import App, fail
from service.config import Settings
from service.datasets.contract.tasks import ConvertSpec, ReportSpec
from service.files.curation.dataset_process import DatasetProcess, DatasetTaskFailed
from service.files.records import with_filename_hint
from service.files.schemas import FormatFields

app = App(help="Data files.")


@app.command("check")
def check(
    path: Annotated[
        Path, typer.Argument(help="A data file on this machine.", exists=True, dir_okay=False)
    ],
    options: Annotated[
        str, typer.Option(help='Format options as JSON, such as \'{"sheet": "Data"}\'.')
    ] = "{}",
    report: Annotated[
        Path | None,
        typer.Option(
            help="Also write a report with statistics, duplicates, personal data and advice here: "
            "HTML, or Markdown if the name ends in .md.",
            dir_okay=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a training file as an upload is checked. Needs no running service.

    Exits with 5 if no job can be trained on it.
    """
    try:
        given = FormatFields.model_validate_json(options)
    except ValidationError as e:
        fail(f"--options: {e.errors()[0]['msg']}", 2)
    found = asyncio.run(_check(path, given.stored(), report))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        for line in _describe(found):
            typer.echo(line)
    if not found["ok"]:
        raise typer.Exit(5)


async def _check(
    path: Path,
    format: Mapping[str, Any] | None,  # noqa: A002
    report_path: Path | None,
) -> dict[str, Any]:
    """Return the findings as plain JSON values, and write the report, if there is to be one.

    `ok`: whether a job can be trained on the file. `error`: why it cannot be read at all.
    `report`: what is in the report, or None without one.
    """
    settings = Settings()
    found: dict[str, Any] = {
        "object": "file.check",
        "filename": path.name,
        "min_training_rows": settings.min_examples,
    }
    dataset_process = DatasetProcess(settings)
    made = None
    with tempfile.TemporaryDirectory(prefix="finetuned-check-") as folder:
        spec = ConvertSpec(
            path=path.resolve(),
            out=Path(folder) / "canonical.jsonl",
            format=dataset_process.format_of(with_filename_hint(format, path.name)),
            result=Path(folder) / "result.json",
        )
        try:
            converted = await dataset_process.run(spec)
            if report_path is not None:
                made = await dataset_process.run(
                    _report_spec(spec, path.name, report_path.resolve())
                )
        except DatasetTaskFailed as e:
            return found | {"ok": False, "error": {"code": e.code, "message": e.message}}
    report = converted.validation
    return found | {
        "ok": report.ok and report.valid_rows >= settings.min_examples,
        "error": None,
        "found": msgspec.to_builtins(converted.facts),
        "validation": msgspec.to_builtins(report),
        "report": msgspec.to_builtins(made),
    }


def _report_spec(spec: ConvertSpec, name: str, target: Path) -> ReportSpec:
    is_markdown = target.suffix.lower() in (".md", ".markdown")
    return ReportSpec(
        path=spec.path,
        format=spec.format,
        result=spec.result.with_name("report.json"),
        title=f"Data set report: {name}",
        markdown=target if is_markdown else None,
        html=None if is_markdown else target,
    )


def _describe(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the findings and whether the file can be used, a line each."""
    if found["error"] is not None:
        yield f"{found['filename']} cannot be read: {found['error']['message']}"
        return
    report = found["validation"]
    for issue in report["issues"]:
        place = (
            f"line {issue['line']} {issue['pointer'] or ''}".rstrip() if issue["line"] else "file"
        )
        yield f"{place}: {issue['severity']} {issue['code']}: {issue['message']} {issue['fix']}"
    yield (
        f"{found['filename']}: {report['rows']} rows, {report['errors']} errors, "
        f"{report['warnings']} warnings"
    )
    if report["valid_rows"] < found["min_training_rows"]:
        yield f"A training file needs at least {found['min_training_rows']} valid rows."
    if found["report"] is not None:
        yield found["report"]["suitability"]["sentence"]
