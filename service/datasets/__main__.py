"""One task on one data set, in a process of its own that can be limited and killed.

    python -m service.datasets SPEC.json

Standard output is JSON lines: {"type": "progress", "done": bytes, "total": bytes}, and one
last {"type": "succeeded"} or {"type": "failed", "code", "message", "fix", "line"}. The
result is written to the spec's `result` path, whole or not at all. Exit code 0 or 1. A
file with errors in it is a success: the report says them.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

# The processes share the cores: a library's own threads would only get in their way, and
# must not be there when the process forks.
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import msgspec

from service.datasets.checks.issues import Issue, make_issue
from service.datasets.checks.validate import validate_file
from service.datasets.contract import TaskSpec, read_spec
from service.datasets.errors import DatasetError, refuse

_PROGRESS_EVERY_S = 0.5


def main(arguments: list[str]) -> int:
    """Runs the task of the spec; returns the exit code."""
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
    _say({"type": "succeeded"})
    return 0


# The libraries of an action are loaded for it alone: those of the report and of the
# formats take 120 MB, and a validation needs 25 whatever the size of the file.
def _run(spec: TaskSpec) -> Any:
    if spec.action == "validate":
        return validate_file(
            spec.path,
            row_format="preference" if spec.format.shape == "preference" else "chat",
            max_issues=spec.max_issues,
            processes=spec.processes,
        )
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
    """Says how far a task is, now and then."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + _PROGRESS_EVERY_S
            _say({"type": "progress", "done": done, "total": total})


def _write(path: Path, data: bytes) -> None:
    """A file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def _failed(issue: Issue) -> int:
    _say(
        {
            "type": "failed",
            "code": issue.code,
            "message": issue.message,
            "fix": issue.fix,
            "line": issue.line,
        }
    )
    return 1


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
