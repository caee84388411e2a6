"""`finetuned-server openapi`, `metrics`, `error-codes` and `redis-acl`: documents from the code."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from service.cli.common import fail

if TYPE_CHECKING:
    from service.core.metric_types import Metric

_FORMAT: Final = re.compile(r"(?<=[a-z]):[^{}\s]+\}")  # of a placeholder
_PASSWORD: Final = re.compile(r"[!-~]{16,}")
_HEAD = """# Metrics

Written by `make metrics-docs` from `service/core/metrics.py`; a test compares them.

The API serves its metrics at `/metrics` on `FINETUNED_API_METRICS_PORT` (9101; loopback unless
`FINETUNED_API_METRICS_HOST` is set), a worker on `FINETUNED_WORKER_PORT`, and an engine together
with vLLM's own (`vllm:…`). They need no key, so keep the ports internal. Labels are bounded: route
templates, states, names from the catalog, the names of the first
`FINETUNED_METRICS_MAX_PROJECTS` (50) projects, then `other`, and the
`FINETUNED_METRICS_MAX_ALIASES` (50) aliases that changed last.
"""
_CODES_HEAD = """# Codes of verdicts and findings

Written by `make metrics-docs` from the tables that the API's sentences are made of; a test compares
them.

Each English sentence of a verdict, of advice and of a report comes with a code and its figures, so
that a program can show it in another language:

| object | sentence | code and figures |
|---|---|---|
| [evaluation of a job](evaluation.md) | `verdict.sentence` | `verdict.code`, `verdict.figures` |
| | `verdict.recommendation` | `verdict.recommendation_details` |
| | `verdict.warnings` | `verdict.warning_details`, in the same order |
| its report | `notes` | `note_details`, in the same order |
| advice before a training | `sentence` | `code`, `figures` |
| | `notes` | `note_details`, in the same order |
| | `findings[].title` | its `variant`, `figures` |
| [report of a file](data-sets.md) | `suitability.sentence` | its `code`, `figures` |
| | `advice[].title`, `advice[].text` | its `variant`, `figures` |
| its rows, `findings`, and `validation.issues` | `message`, `fix` | `code`, `figures` |

A placeholder in a sentence is a figure of this name, or a phrase made of figures, such as {effect}
of `points`, `low`, `high`, `rows` and `prompts`. Scores and differences are in points (0 to 100);
`low` and `high` are the limits of their 95% interval. A figure that does not apply is left out,
with its phrase. Later versions add codes: show the English sentence for a code that you don't know.
"""
_ERRORS_HEAD = """# Error codes

Written by `make metrics-docs` from `service/core/error_codes.py`; a test compares them.

Values of `error.code` in [error responses](guide.md#errors). The meaning of a code does not change.
A later version may add codes, so handle an unknown one by its status. The `error` of an object
whose work failed has codes of its own, such as `training_interrupted`.

| status | code | meaning | what to do |
|---|---|---|---|
"""
_COLUMNS = "| name | type | labels | process | description |\n|---|---|---|---|---|"


def openapi(
    output: Annotated[Path | None, typer.Option(help="File to write. Defaults to stdout.")] = None,
) -> None:
    """Write the API's OpenAPI description."""
    from service.app import create_app
    from service.config import Settings
    from service.web.openapi.document import dumps

    _write(dumps(create_app(Settings()).openapi()), output)


def metrics(
    output: Annotated[Path | None, typer.Option(help="File to write. Defaults to stdout.")] = None,
) -> None:
    """Write the reference page of all Prometheus metrics."""
    _write(metrics_page(), output)


def codes(
    output: Annotated[Path | None, typer.Option(help="File to write. Defaults to stdout.")] = None,
) -> None:
    """Write the reference page of the codes of verdicts, advice and findings."""
    _write(codes_page(), output)


def error_codes(
    output: Annotated[Path | None, typer.Option(help="File to write. Defaults to stdout.")] = None,
) -> None:
    """Write the reference page of all error codes."""
    _write(errors_page(), output)


def redis_acl(
    folder: Annotated[
        Path,
        typer.Option(
            "--secrets",
            help="Folder with a file for the password of each user. Missing ones are generated.",
        ),
    ],
) -> None:
    """Print an ACL file for Redis, with a user for each kind of process, and one for operators."""
    try:
        typer.echo(_acl_file(folder), nl=False)
    except (OSError, ValueError) as e:
        fail(e)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")


def metrics_page() -> str:
    """Return docs/metrics.md, from the declarations in service/core/metrics.py."""
    from service.core.metrics import declared

    by_heading: dict[str, list[str]] = {}
    for metric in declared():
        by_heading.setdefault(metric.group.heading, [_COLUMNS]).append(_row(metric))
    tables = [f"## {heading}\n\n" + "\n".join(rows) for heading, rows in by_heading.items()]
    return "\n\n".join([_HEAD.rstrip(), *tables]) + "\n"


def errors_page() -> str:
    """Return docs/api/errors.md, from the declarations in service/core/error_codes.py."""
    from service.core.error_codes import CODES

    return _ERRORS_HEAD + "".join(
        f"| {status} | `{code}` | {meaning} | {remedy} |\n"
        for status, codes in CODES.items()
        for code, (meaning, remedy) in codes.items()
    )


def _row(metric: Metric[Any]) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
    where = ", ".join(process.name.lower() for process in metric.group.processes)
    if metric.group.note:
        where += f" ({metric.group.note})"
    text = metric.documentation.replace("|", r"\|")
    return f"| `{metric.name}` | {metric.kind} | {labels} | {where} | {text} |"


def codes_page() -> str:
    """Return docs/codes.md, from the tables that sentences are made of."""
    from service.datasets.checks.issue_codes import CHECKS
    from service.datasets.report.advice import SUITABILITY, WORDINGS
    from service.verdict.statements import statements

    parts = [_CODES_HEAD.rstrip()]
    for title, sentences in statements():
        parts.append(_codes(title, "sentence", {code: [text] for code, text in sentences.items()}))
    suitability = {code: [sentence] for code, sentence in SUITABILITY.items()}
    parts.append(_codes("Suitability of data sets", "sentence", suitability))
    parts.append(_codes("Recommendations of reports", "title | text", WORDINGS))
    parts.append(_codes("Findings in data sets", "severity | message | fix", CHECKS))
    return "\n\n".join(parts) + "\n"


def _codes(title: str, columns: str, rows: Mapping[str, Iterable[str]]) -> str:
    """Return a table of codes with its heading."""
    lines = [f"## {title}", "", f"| code | {columns} |", f"|---{'|---' * columns.count('|')}|---|"]
    for code, cells in rows.items():
        shown = " | ".join(_FORMAT.sub("}", cell).replace("|", r"\|") for cell in cells)
        lines.append(f"| `{code}` | {shown.replace('<', '&lt;')} |")
    return "\n".join(lines)


def _acl_file(folder: Path) -> str:
    """Return an ACL file whose users have the passwords in a folder, which is filled if necessary.

    Without a user, Redis refuses all commands. Raises ValueError for a bad password.
    """
    from service.core.redis.acl import OPERATOR, USERS, acl_lines

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    passwords = {name: _password(folder / name) for name in (*USERS, OPERATOR)}
    return "\n".join(["user default off", *acl_lines(passwords), ""])


def _password(file: Path) -> str:
    from service.standalone.layout import write_private

    if not file.exists():
        write_private(file, secrets.token_urlsafe(32))
    password = file.read_text("utf-8").strip()
    if not _PASSWORD.fullmatch(password):
        raise ValueError(f"{file} must have a password of at least 16 ASCII characters, no spaces")
    return password
