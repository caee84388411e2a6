"""The report as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Final

from service.datasets.report.page import page
from service.datasets.report.parts import part_to_html
from service.verdict.comparison import Comparison
from service.verdict.report import prose, tables
from service.verdict.report.html_rows import rows_section
from service.verdict.report.plot import plot
from service.verdict.report.sections import (
    cost_section,
    gate_section,
    scores_section,
    side_effects,
)
from service.verdict.report.text import line, name
from service.verdict.results import GateResult, Verdict, VerdictKind

_STYLE: Final = files(__package__).joinpath("page.css").read_text("utf-8")
_SCRIPT: Final = files(__package__).joinpath("page.js").read_text("utf-8")
_TONES: Final = {
    VerdictKind.SERVE: "good",
    VerdictKind.WORSE: "bad",
    VerdictKind.MEMORIZED: "bad",
    VerdictKind.FORGOT: "bad",
    VerdictKind.OVERFIT: "bad",
}


def to_html(comparison: Comparison, verdict: Verdict, *, gate: GateResult | None = None) -> bytes:
    """Render an evaluation as an HTML page in UTF-8.

    The page loads nothing. All texts are escaped, truncated, and isolated from their surroundings
    in writing direction.
    """
    body = [
        "<main>",
        _verdict(verdict),
        f'<p class="subject">{escape(prose.subject(comparison))}</p>',
        *map(part_to_html, gate_section(gate)),
        *map(part_to_html, scores_section(comparison)),
        *_differences(comparison, verdict),
        *map(part_to_html, cost_section(comparison)),
        *map(part_to_html, side_effects(comparison)),
        *rows_section(comparison),
        f"<h2>Method</h2>\n<p>{escape(prose.METHOD)}</p>",
        "</main>",
    ]
    title = f"Evaluation of {name(comparison.model)}"
    return page(title=title, body="\n".join(body), style=_STYLE, script=_SCRIPT).encode()


def _verdict(verdict: Verdict) -> str:
    warnings = "".join(f"<li>{escape(line(one))}</li>" for one in verdict.warnings)
    return (
        f'<header class="verdict {_TONES.get(verdict.kind, "open")}">'
        f'<p class="kind">{escape(prose.kind_label(verdict))}</p>'
        f"<h1>{escape(line(verdict.sentence))}</h1>"
        f"<p>{escape(line(verdict.recommendation))}</p>"
        + (f'<ul aria-label="Warnings">{warnings}</ul>' if warnings else "")
        + "</header>"
    )


def _differences(comparison: Comparison, verdict: Verdict) -> Iterator[str]:
    if not verdict.differences:
        return
    yield "<h2>Differences</h2>"
    yield f"<p>{escape(prose.primary_text(comparison))}</p>"
    yield plot([d for d in verdict.differences if d.metric == comparison.primary.name])
    table = part_to_html(tables.differences_table(verdict.differences))
    yield f"<details><summary>All differences, with p-values</summary>{table}</details>"
