"""Check of a local file, as the service checks an upload, without a running service."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from service.config import Settings
from service.datasets.contract import ConvertSpec
from service.files.curation.dataset_process import DatasetProcess, DatasetTaskFailed
from service.files.records import with_filename_hint


async def check_file(path: Path, format: Mapping[str, Any] | None) -> dict[str, Any]:  # noqa: A002
    """Return what the check found, as plain JSON values.

    `ok` says whether a job can be trained on the file, and `error` why it cannot be read at all.
    """
    settings = Settings()
    found: dict[str, Any] = {
        "object": "file.check",
        "filename": path.name,
        "min_training_rows": settings.min_examples,
    }
    dataset_process = DatasetProcess(settings)
    with tempfile.TemporaryDirectory(prefix="finetuned-check-") as folder:
        spec = ConvertSpec(
            path=path.resolve(),
            out=Path(folder) / "canonical.jsonl",
            format=dataset_process.format_of(with_filename_hint(format, path.name)),
            result=Path(folder) / "result.json",
        )
        try:
            converted = await dataset_process.run(spec)
        except DatasetTaskFailed as e:
            return found | {"ok": False, "error": {"code": e.code, "message": e.message}}
    report = converted.validation
    return found | {
        "ok": report.ok and report.valid_rows >= settings.min_examples,
        "error": None,
        "found": msgspec.to_builtins(converted.facts),
        "validation": msgspec.to_builtins(report),
    }


def in_words(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a check: what the file is, its findings, and whether it can be used."""
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
