"""Rendering of the report as Markdown and HTML, from the same tables and histograms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html import escape
from itertools import starmap
from typing import NamedTuple

from service.datasets.checks.issues import Severity, by_severity
from service.datasets.report.report import Distribution, GroupStats, Histogram, Report
from service.datasets.text.languages import language_name

_MAX_ISSUES_A_CODE = 5
_BAR_CHARS = 40
_NAMES = "Names of people are detected only in Japanese."


class Heading(NamedTuple):
    """The title of a section."""

    text: str


class Paragraph(NamedTuple):
    """A paragraph of text."""

    text: str


class Table(NamedTuple):
    """A table with a header and rows."""

    header: list[str]
    rows: list[list[str]]


class Bars(NamedTuple):
    """A histogram with a title."""

    title: str
    histogram: Histogram


Part = Heading | Paragraph | Table | Bars


def to_markdown(report: Report, *, title: str = "Data set report") -> str:
    """Render the report as Markdown."""
    return "\n\n".join([f"# {_cell(title)}", *map(_markdown, parts(report))]) + "\n"


def to_html(report: Report, *, title: str = "Data set report") -> str:
    """Render the report as a single self-contained HTML page."""
    body = "\n".join(map(_html, parts(report)))
    return _PAGE.format(title=escape(title), body=body)


def parts(report: Report) -> Iterator[Part]:
    """Yield the parts of the report in reading order: summary, advice, then figures."""
    source, validation = report.source, report.validation
    found = by_severity(report.finding_counts)
    what = [source.container, source.shape, source.encoding or "binary"]
    if source.compression:
        what.append(source.compression)
    yield Paragraph(
        f"{report.rows:,} of {validation.rows:,} rows can be trained on. "
        f"{validation.errors + found[Severity.ERROR]:,} errors, "
        f"{validation.warnings + found[Severity.WARNING]:,} warnings. "
        f"{source.bytes:,} bytes ({', '.join(what)})."
    )
    yield Heading("Advice")
    if report.advice:
        rows = [[str(i), a.title, a.text, _evidence(a.evidence), _lines(a.lines)]
                for i, a in enumerate(report.advice, 1)]  # fmt: skip
        yield Table(["", "What", "Why", "Evidence", "Lines"], rows)
    else:
        yield Paragraph("No problems found. The data is ready for training.")
    yield from _sizes(report)
    yield from _languages(report)
    yield from _alike(report)
    yield from _personal(report)
    yield from _issues(report)


def _sizes(report: Report) -> Iterator[Part]:
    yield Heading("Sizes")
    named = [
        ("turns", report.turns),
        ("characters", report.characters),
        ("characters of answers", report.answer_characters),
    ]
    for stats in report.tokens:
        sample = f", sample of {stats.rows:,} rows" if stats.sampled else ""
        named.append((f"tokens ({stats.model}{sample})", stats.tokens))
        named.append((f"supervised tokens ({stats.model})", stats.supervised_tokens))
    shown = [(name, spread) for name, spread in named if spread is not None]
    yield Table(
        ["A row has", "min", "median", "p95", "max", "mean", "total"],
        list(starmap(_spread_row, shown)),
    )
    for name, spread in shown:
        yield Bars(f"Rows by {name}", spread.histogram)
    cut = [
        [stats.model, f"{limit:,}", f"{rows:,}", f"{stats.unlearnable_rows[limit]:,}"]
        for stats in report.tokens
        for limit, rows in stats.truncated_rows.items()
    ]
    if cut:
        yield Table(["Model", "Context", "Rows cut", "Rows with nothing left to learn"], cut)


def _spread_row(name: str, d: Distribution) -> list[str]:
    numbers = (d.min, d.p50, d.p95, d.max, d.mean, d.total)
    return [name, *(f"{number:,}" for number in numbers)]


def _languages(report: Report) -> Iterator[Part]:
    yield Heading("Languages")
    yield Table(
        ["Language", "Rows", "Share"],
        [[language_name(s.name), f"{s.rows:,}", f"{s.share:.1%}"] for s in report.languages],
    )
    yield Table(
        ["Script", "Rows", "Share"],
        [[s.name, f"{s.rows:,}", f"{s.share:.1%}"] for s in report.scripts],
    )
    if report.tokenizer_fit:
        yield Table(
            ["Language", "Base model", "Tokens per character", "Byte by byte"],
            [
                [
                    language_name(fit.language),
                    fit.model,
                    f"{fit.tokens_per_character:.2f}",
                    f"{fit.byte_fallback_share:.0%}",
                ]
                for fit in report.tokenizer_fit
            ],
        )  # fmt: skip


def _alike(report: Report) -> Iterator[Part]:
    yield Heading("Similar rows")
    yield Table(
        ["", "Groups", "Rows", "Removable", "Lines"],
        [
            _group_row("exact duplicates", report.exact_duplicates),
            _group_row("near duplicates", report.near_duplicates),
            _group_row("same question, different answer", report.contradictions),
        ],
    )
    if report.overlap is not None:
        o = report.overlap
        yield Paragraph(
            f"Of {o.rows:,} validation rows, {o.exact:,} are also in the training file, "
            f"{o.near:,} nearly match one of its rows, and {o.same_prompt:,} ask one of its "
            f"questions."
        )
    p = report.system_prompts
    yield Paragraph(
        f"{p.distinct:,} different system prompts; the most common one is in {p.top_share:.1%} of "
        f"the rows; {p.rows_without:,} rows have none."
    )


def _group_row(name: str, stats: GroupStats) -> list[str]:
    examples = "; ".join(_lines(lines) for lines in stats.examples[:5])
    return [name, f"{stats.groups:,}", f"{stats.rows:,}", f"{stats.extra_rows:,}", examples]


def _personal(report: Report) -> Iterator[Part]:
    yield Heading("Personal data")
    if not report.personal_data:
        yield Paragraph(f"None found. {_NAMES}")
        return
    yield Table(
        ["Kind", "Found", "Lines"],
        [
            [p.kind, f"{p.count:,}", _lines(list(dict.fromkeys(line for line, _ in p.places)))]
            for p in report.personal_data
        ],
    )
    yield Paragraph(_NAMES)


def _issues(report: Report) -> Iterator[Part]:
    yield Heading("Findings")
    counts = {**report.validation.counts, **report.finding_counts}
    if not counts:
        yield Paragraph("None.")
        return
    yield Table(["Code", "Found"], [[code, f"{n:,}"] for code, n in sorted(counts.items())])
    listed = [*report.validation.issues, *report.findings]
    listed.sort(key=lambda issue: ("error", "warning", "info").index(issue.severity))
    seen: Counter[str] = Counter()
    rows = []
    for i in listed:
        seen[i.code] += 1
        if seen[i.code] <= _MAX_ISSUES_A_CODE:
            line = "" if i.line is None else str(i.line)
            rows.append([i.severity, line, i.pointer, i.message, i.fix])
    yield Table(["Severity", "Line", "Place", "What", "How to fix"], rows)
    if sum(counts.values()) > len(rows):
        yield Paragraph(
            f"The first {_MAX_ISSUES_A_CODE} of each code; the JSON report contains more."
        )


def _evidence(evidence: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in evidence.items())


def _lines(lines: list[int]) -> str:
    more = ", …" if len(lines) > 10 else ""
    return ", ".join(map(str, lines[:10])) + more


def _cell(text: str) -> str:
    """Escape a text for Markdown."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")


def _markdown(part: Part) -> str:
    if isinstance(part, Heading):
        return f"## {_cell(part.text)}"
    if isinstance(part, Paragraph):
        return _cell(part.text)
    if isinstance(part, Table):
        rows = [part.header, ["---"] * len(part.header), *part.rows]
        lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in (rows[0], *rows[2:])]
        return "\n".join((lines[0], "|" + " --- |" * len(part.header), *lines[1:]))
    top = max(part.histogram.counts, default=0) or 1
    bars = [
        f"{label:>17}  {count:>9,}  {'█' * max(round(count / top * _BAR_CHARS), count > 0)}"
        for label, count in _bins(part.histogram)
    ]
    return "\n".join((f"**{_cell(part.title)}**", "", "```", *bars, "```"))


def _bins(histogram: Histogram) -> Iterator[tuple[str, int]]:
    for low, high, count in zip(
        histogram.edges, histogram.edges[1:], histogram.counts, strict=False
    ):
        last = int(high) - 1
        label = f"{int(low):,}" if last <= low else f"{int(low):,}–{last:,}"
        yield label, count


def _html(part: Part) -> str:
    if isinstance(part, Heading):
        return f"<h2>{escape(part.text)}</h2>"
    if isinstance(part, Paragraph):
        return f"<p>{escape(part.text)}</p>"
    if isinstance(part, Table):
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in part.header)
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in part.rows
        )
        return (
            f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )
    return _html_bars(part)


def _html_bars(part: Bars) -> str:
    bins = list(_bins(part.histogram))
    top = max(part.histogram.counts, default=0) or 1
    bars = "".join(
        f'<rect x="{place * 24}" y="{100 - count / top * 100:.1f}" width="22" '
        f'height="{count / top * 100:.1f}"><title>{escape(label)}: {count:,}</title></rect>'
        for place, (label, count) in enumerate(bins)
    )
    first, last = (bins[0][0], bins[-1][0]) if bins else ("", "")
    return (
        f"<figure><figcaption>{escape(part.title)}</figcaption>"
        f'<svg viewBox="0 0 {len(bins) * 24} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(part.title)}">{bars}</svg>'
        f'<div class="axis"><span>{escape(first)}</span><span>{escape(last)}</span></div></figure>'
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1d2330; max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem }}
h2 {{ margin: 2.2rem 0 .6rem; font-size: 1.15rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; vertical-align: top; padding: .35rem .7rem .35rem 0;
  border-bottom: 1px solid #dfe3ea; font-variant-numeric: tabular-nums }}
th {{ font-weight: 600; color: #55607a }}
.wide {{ overflow-x: auto; margin: .8rem 0 }}
figure {{ display: inline-block; width: 18rem; margin: .8rem 1.6rem .8rem 0 }}
figcaption, .axis {{ font-size: 13px; color: #55607a }}
svg {{ width: 100%; height: 90px; border-bottom: 1px solid #9aa4b8; fill: #3c6fd6 }}
.axis {{ display: flex; justify-content: space-between }}
@media (prefers-color-scheme: dark) {{ body {{ background: #14171d; color: #e4e8f0 }}
  th, figcaption, .axis {{ color: #9aa7c0 }} th, td {{ border-color: #2b313c }} }}
</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
