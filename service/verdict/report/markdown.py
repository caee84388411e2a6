"""The report as Markdown, for terminals and pull requests."""

from __future__ import annotations

import re
from collections.abc import Iterator

from service.datasets.report.parts import (
    Heading,
    Paragraph,
    Part,
    markdown_text,
    part_to_markdown,
)
from service.verdict.comparison import Comparison, score_of
from service.verdict.report import prose, tables
from service.verdict.report.rows import RankedRow, ranked
from service.verdict.report.sections import (
    cost_section,
    gate_section,
    scores_section,
    side_effects,
)
from service.verdict.report.text import line, message_text, name, shown
from service.verdict.results import GateResult, Verdict
from service.verdict.wording import metric_name, points

_WORST_ROWS = 5
_TEXT_CHARS = 240


def to_markdown(
    comparison: Comparison, verdict: Verdict, *, gate: GateResult | None = None
) -> bytes:
    """Render an evaluation as Markdown in UTF-8: the verdict, tables, and the five worst rows."""
    text = [
        f"# {markdown_text(line(verdict.sentence))}",
        markdown_text(line(verdict.recommendation)),
    ]
    if verdict.warnings:
        text.append("\n".join(f"- {markdown_text(line(one))}" for one in verdict.warnings))
    text += map(part_to_markdown, _parts(comparison, verdict, gate))
    text += _worst_rows(comparison)
    text.append(markdown_text(prose.METHOD))
    return ("\n\n".join(text) + "\n").encode()


def _parts(comparison: Comparison, verdict: Verdict, gate: GateResult | None) -> Iterator[Part]:
    yield Paragraph(prose.subject(comparison))
    yield from gate_section(gate)
    yield from scores_section(comparison)
    if verdict.differences:
        yield Heading("Differences")
        yield Paragraph(prose.primary_text(comparison))
        yield tables.differences_table(verdict.differences)
    yield from cost_section(comparison)
    yield from side_effects(comparison)


def _worst_rows(comparison: Comparison) -> Iterator[str]:
    if not comparison.rows:
        return
    yield "## Worst rows"
    for found in ranked(comparison)[:_WORST_ROWS]:
        yield "\n".join(_row(comparison, found))


def _row(comparison: Comparison, found: RankedRow) -> Iterator[str]:
    title = found.label
    if found.row.language:
        title += f", {tables.language_label(found.row.language)}"
    if found.against_base is not None:
        unit = name(metric_name(found.metric.name))
        title += f": {tables.signed(found.against_base)} {unit} against the base"
    yield f"**{markdown_text(title)}**"
    yield ""
    if found.row.prompt:
        yield f"- prompt: {_code(message_text(found.row.prompt[-1]))}"
    yield f"- reference: {_code(found.row.reference)}"
    for column in comparison.columns:
        answer = found.row.answers.get(column.name)
        if answer is None:
            continue
        score = score_of(found.row, column.name, found.metric)
        label = tables.column_label(column)
        label += "" if score is None else f" ({points(score, 1)})"
        text = _code(answer.said) if answer.error is None else f"failed: {_code(answer.error)}"
        yield f"- {markdown_text(label)}: {text}"


def _code(text: str) -> str:
    """Return a text as a code span, in which Markdown, HTML, links and mentions have no effect."""
    cut = shown(text, _TEXT_CHARS)
    on_one_line = " ".join(cut.text.split()) + ("…" if cut.left_out else "")
    if not on_one_line:
        return "(empty)"
    longest = max(map(len, re.findall("`+", on_one_line)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {on_one_line} {fence}"
