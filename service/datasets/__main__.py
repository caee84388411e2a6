"""Runs one task on one data set, in a process that can be limited and killed.

    python -m service.datasets SPEC.json

`service.datasets.contract.tasks` describes the spec, the messages on standard output, and the
answer, which is written atomically to the spec's `result` path. The exit code is 0 for success, 1
for a failed task, and 2 for a wrong command line.
"""

from __future__ import annotations

import errno
import os
import resource
import sys
import time
from pathlib import Path

# Worker processes share the cores, so a library's own threads would only compete with them. A
# process must not have threads when it forks.
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import msgspec

from service.datasets.checks.issues import DatasetError, Issue, make_issue
from service.datasets.checks.validate import check_eval_items, validate_file
from service.datasets.contract.report import Report
from service.datasets.contract.tasks import (
    AnySpec,
    CleanSpec,
    ConvertSpec,
    DiffSpec,
    EvalItemsSpec,
    Failed,
    MeasureSpec,
    MergeSpec,
    Message,
    OverlapSpec,
    PassagesSpec,
    PreviewSpec,
    Progress,
    ReportSpec,
    SearchSpec,
    Succeeded,
    UnpackSpec,
    ValidateSpec,
    read_spec,
)
from service.datasets.formats.options import row_format_of
from service.garbage_collection import uncollected_imports

_PROGRESS_EVERY_S = 0.5
_NO_MEMORY_TO_IMPORT = "failed to map segment"  # glibc's message; the error has no number


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
        if error.errno == errno.ENOMEM:  # from a fork or a memory-mapped file
            return _failed(make_issue("out_of_memory"))
        return _failed(make_issue("file_error", reason=error.strerror or "unknown"))
    except ImportError as error:
        if _NO_MEMORY_TO_IMPORT not in str(error):
            raise
        return _failed(make_issue("out_of_memory"))
    _emit(Succeeded())
    return 0


# Each action imports only the libraries it needs: those of a report take 120 MB, while a validation
# needs 25 MB regardless of the file size.
def _run(spec: AnySpec) -> msgspec.Struct:  # noqa: C901, PLR0912 - one case per action
    path, processes, progress = spec.path, spec.processes, _Reporter()
    match spec:
        case ValidateSpec():
            row_format = row_format_of(spec.format.shape)
            return validate_file(
                path, row_format=row_format, max_issues=spec.max_issues, processes=processes
            )
        case EvalItemsSpec():
            return check_eval_items(path, max_issues=spec.max_issues)
        case ConvertSpec():
            with uncollected_imports():
                from service.datasets.formats.convert import convert
            return convert(
                path, spec.out, spec.format, processes=processes, max_issues=spec.max_issues
            )
        case ReportSpec():
            return _report(spec, progress)
        case PreviewSpec():
            with uncollected_imports():
                from service.datasets.preview import make_preview
            preview = make_preview(path, spec.format, limit=spec.limit, work=spec.result.parent)
            if not spec.masks:
                return preview
            from service.datasets.preview_mask import mask_preview

            return mask_preview(preview, spec.recognizers)
        case CleanSpec():
            with uncollected_imports():
                from service.datasets.cleaning.clean import clean
            return clean(spec, progress=progress)
        case DiffSpec():
            with uncollected_imports():
                from service.datasets.compare_files import compare_files
            return compare_files(spec, progress=progress)
        case MergeSpec():
            with uncollected_imports():
                from service.datasets.merge_files import merge
            return merge(spec, progress=progress)
        case MeasureSpec():
            with uncollected_imports():
                from service.datasets.report.statistics import measure
            return measure(path, spec.tokenizer, rows=spec.rows, processes=processes)
        case OverlapSpec():
            with uncollected_imports():
                from service.datasets.duplicates.overlap import shared_rows
            return shared_rows(spec.training, path, spec.result.parent, processes=processes)
        case UnpackSpec():
            from service.datasets.adapter_archive import unpack_adapter

            return unpack_adapter(
                path, spec.out, base=spec.base, base_name=spec.base_name, max_bytes=spec.max_bytes
            )
        case PassagesSpec():
            with uncollected_imports():
                from service.datasets.passages import read_documents
            return read_documents(path, spec.documents)
        case SearchSpec():
            with uncollected_imports():
                from service.datasets.search import search
            return search(path, spec.result.parent, spec.match, spec.format, processes=processes)


def _report(spec: ReportSpec, progress: _Reporter) -> Report:
    with uncollected_imports():
        from service.datasets.report.analysis import analyze
        from service.datasets.report.render import to_html, to_markdown
        from service.datasets.report.row_section import ShownRows

    def render(report: Report, shown: ShownRows, title: str) -> None:
        if spec.html is not None:
            _write(spec.html, to_html(report, shown=shown, title=title).encode())
        if spec.markdown is not None:
            _write(spec.markdown, to_markdown(report, title=title).encode())

    return analyze(spec, progress=progress, render=render)


class _Reporter:
    """Reports a task's progress at most every `_PROGRESS_EVERY_S` seconds, and at the end."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next or done == total:
            self._next = now + _PROGRESS_EVERY_S
            _emit(Progress(done, total))


def _write(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def _failed(issue: Issue) -> int:
    _emit(Failed(issue.code, issue.message, issue.fix, issue.line))
    return 1


def _emit(message: Message) -> None:
    print(msgspec.json.encode(message).decode(), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
