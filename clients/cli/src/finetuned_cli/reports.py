"""Terminal view of a data report: verdict, statistics, advice and findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from finetuned.types import DatasetReportContent, ReportAdvice, ReportIssue
from rich.text import Text

from finetuned_cli.hints import with_commands
from finetuned_cli.output import Out, printable, size

_MAX_FINDINGS = 12
_MAX_LINES = 12  # of an advice
_STYLES = {"error": "bold red", "warning": "yellow"}


def show(report: DatasetReportContent, out: Out) -> None:
    """Print the parts that decide whether to train on a file; `--format html` has everything."""
    if out.json:
        out.value(report)
        return
    checked = report.validation
    found = _found(report)
    if report.suitability is not None:
        out.line(report.suitability.sentence, style="bold")
    out.facts(
        [
            ("format", f"{report.source.container}, {report.source.shape}, {size(checked.bytes)}"),
            ("rows", f"{checked.rows:,}, of which {checked.valid_rows:,} valid"),
            ("errors", checked.errors + found["error"]),
            ("warnings", checked.warnings + found["warning"]),
            *((f"tokens of {t.model}", _spread(t.tokens)) for t in report.tokens),
            ("languages", ", ".join(f"{s.name} {s.share:.0%}" for s in report.languages[:4])),
            ("duplicates", _alike(report)),
            ("same meaning", _meaning(report)),
            ("personal data", ", ".join(f"{p.count} {p.kind}" for p in report.personal_data)),
        ]
    )
    for number, advice in enumerate(report.advice, 1):
        print_advice(number, advice, out)
    print_findings([*checked.issues, *report.findings], out)


def print_advice(number: int, advice: ReportAdvice, out: Out) -> None:
    """Print an advice with the lines of its rows, below a blank line."""
    out.console.print()
    out.line(f"{number}. {advice.title}", hanging=3, style="bold")
    out.line(f"   {with_commands(advice.text)}")
    if advice.lines:
        shown = ", ".join(map(str, advice.lines[:_MAX_LINES]))
        more = " and others" if len(advice.lines) > _MAX_LINES else ""
        owner = " of the validation file" if advice.code == "overlap" else ""
        out.line(f"   Lines{owner}: {shown}{more}")


def print_findings(findings: Sequence[ReportIssue], out: Out) -> None:
    """Print the first findings, one per line, below a blank line."""
    if findings:
        out.console.print()
    told: set[str] = set()
    for issue in findings[:_MAX_FINDINGS]:
        place = f"line {issue.line} {issue.pointer}".rstrip() if issue.line else "file"
        # The same remedy for every finding of a kind would hide what they say.
        fix = "" if issue.fix in told else f" {printable(with_commands(issue.fix))}"
        told.add(issue.fix)
        kind = Text(f"{issue.severity} {issue.code}", style=_STYLES.get(issue.severity, ""))
        out.console.print(Text(f"{place}: ") + kind + Text(f": {printable(issue.message)}{fix}"))
    if len(findings) > _MAX_FINDINGS:
        out.say(f"… and {len(findings) - _MAX_FINDINGS} more: see --format md or --json")


def _found(report: DatasetReportContent) -> Counter[str]:
    """Count the findings of each severity, excluding those of the validation."""
    severity = {issue.code: issue.severity for issue in report.findings}
    counted: Counter[str] = Counter()
    for code, count in report.finding_counts.items():
        counted[severity.get(code, "warning")] += count  # the code may have no listed finding
    return counted


def _spread(tokens: object) -> str:
    return (
        f"{getattr(tokens, 'total', 0):,} total, {getattr(tokens, 'p50', 0):,} median, "
        f"{getattr(tokens, 'max', 0):,} max"
    )


def _meaning(report: DatasetReportContent) -> str:
    found = report.meaning
    if found is None:
        return ""
    return (
        f"{found.same_meaning} pairs in other words, {found.contradictions} with other answers, "
        f"{found.overlap} in both files ({found.encoder})"
    )


def _alike(report: DatasetReportContent) -> str:
    exact, near = report.exact_duplicates.extra_rows, report.near_duplicates.extra_rows
    return f"{exact} exact, {near} near" if exact or near else ""
