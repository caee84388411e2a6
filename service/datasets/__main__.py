"""Run one task on one data set, in a separate process that can be limited and killed.

    python -m service.datasets SPEC.json

Standard output is JSON Lines: {"type": "progress", "done": bytes, "total": bytes}, then a
final {"type": "succeeded"} or {"type": "failed", "code", "message", "fix", "line"}. The
result is written atomically to the spec's `result` path. The exit code is 0 or 1, or 2 if
the command line is wrong. A file that contains errors still succeeds: the report lists them.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

# The worker processes share the cores, so a library's own threads would only compete with
# them. No threads may exist when the process forks.
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import msgspec

from service.datasets.checks.eval_items import check_eval_items
from service.datasets.checks.issues import Issue, make_issue
from service.datasets.checks.validate import validate_file
from service.datasets.contract import TaskSpec, read_spec
from service.datasets.errors import DatasetError, refuse
from service.datasets.facts import row_format_of

_PROGRESS_EVERY_S = 0.5


def main(arguments: list[str]) -> int:
    """Run the task described by the spec and return the exit code."""
    if len(arguments) != 1:
        print("usage: python -m service.datasets SPEC.json", file=sys.stderr)
        return 2
    try:
        spec = read_spec(Path(arguments[0]))
        if spec.memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_AS, (spec.memory_bytes, spec.memory_bytes))
        _write(spec.result, msgspec.json.encode(_run(spec)))
    except DatasetError as error:
        return _failed(error.issue)
    except MemoryError:
        return _failed(make_issue("out_of_memory"))
    except OSError as error:
        return _failed(make_issue("file_error", reason=error.strerror or "unknown"))
    _emit({"type": "succeeded"})
    return 0


# Each action imports only the libraries it needs: those of the report and the formats take
# 120 MB, but a validation needs only 25 MB, regardless of the file size.
def _run(spec: TaskSpec) -> Any:
    if spec.action == "validate":
        return validate_file(
            spec.path,
            row_format=row_format_of(spec.format.shape),
            max_issues=spec.max_issues,
            processes=spec.processes,
        )
    if spec.action == "check_eval_items":
        return check_eval_items(spec.path, max_issues=spec.max_issues)
    if spec.action == "report":
        return _report(spec)
    if spec.action == "measure":
        return _measure(spec)
    if spec.out is None:
        raise refuse("invalid_spec", reason="`out` is missing")
    return _convert(spec, spec.out) if spec.action == "convert" else _clean(spec, spec.out)


def _convert(spec: TaskSpec, out: Path) -> Any:
    from service.datasets.formats.convert import convert

    return convert(
        spec.path, out, spec.format, processes=spec.processes, max_issues=spec.max_issues
    )


def _clean(spec: TaskSpec, out: Path) -> Any:
    from service.datasets.cleaning.clean import CleanOptions, clean

    fields = {**spec.clean, "processes": spec.processes, "format": msgspec.to_builtins(spec.format)}
    try:
        options = msgspec.convert(fields, CleanOptions)
    except msgspec.ValidationError as error:
        raise refuse("invalid_spec", reason=str(error)) from error
    return clean(spec.path, out, options, progress=_Progress())


def _measure(spec: TaskSpec) -> Any:
    from service.datasets.report.measure import measure

    if len(spec.tokenizers) != 1:
        raise refuse("invalid_spec", reason="`tokenizers` must name one")
    (tokenizer,) = spec.tokenizers.values()
    return measure(spec.path, tokenizer, rows=spec.rows, processes=spec.processes)


def _report(spec: TaskSpec) -> Any:
    from service.datasets.report.analysis import AnalysisOptions, analyse
    from service.datasets.report.render import to_html, to_markdown

    report = analyse(
        spec.path,
        options=AnalysisOptions(
            format=spec.format,
            validation_format=spec.validation_format,
            near_threshold=spec.near_threshold,
            max_issues=spec.max_issues,
            processes=spec.processes,
        ),
        tokenizers=spec.tokenizers,
        context_lengths=spec.context_lengths,
        validation=spec.validation,
        progress=_Progress(),
        work=spec.result.parent,
    )
    if spec.html is not None:
        _write(spec.html, to_html(report, title=spec.title).encode())
    if spec.markdown is not None:
        _write(spec.markdown, to_markdown(report, title=spec.title).encode())
    return report


class _Progress:
    """Reports a task's progress at most every `_PROGRESS_EVERY_S` seconds, and at the end."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + _PROGRESS_EVERY_S
            _emit({"type": "progress", "done": done, "total": total})


def _write(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def _failed(issue: Issue) -> int:
    _emit(
        {
            "type": "failed",
            "code": issue.code,
            "message": issue.message,
            "fix": issue.fix,
            "line": issue.line,
        }
    )
    return 1


def _emit(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
