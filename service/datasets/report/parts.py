"""Parts of a report as Markdown and as HTML, and self-contained HTML pages."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Final, NamedTuple

from service.datasets.report.report import Histogram

_BAR_CHARS = 40
_PROSE_CHARS = 60
_MARKS = re.compile(r"[\\`*\[\]<|#]|^>|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_INTERVAL = re.compile(r"\\\[(-?[0-9.]+, -?[0-9.]+)\\\](?![(\[:])")


class Heading(NamedTuple):
    """The title of a section."""

    text: str


class Paragraph(NamedTuple):
    """A paragraph of text."""

    text: str


class Table(NamedTuple):
    """A table with a header and rows.

    If `row_headers`, the first cell of each row is its header. `label` names the table for screen
    readers, and makes it scrollable by keyboard.
    """

    header: list[str]
    rows: list[list[str]]
    row_headers: bool = False
    label: str = ""


class Bars(NamedTuple):
    """A histogram with a title."""

    title: str
    histogram: Histogram


Part = Heading | Paragraph | Table | Bars


def markdown_text(text: str) -> str:
    """Escape a text for Markdown, on one line.

    Terminals show the text as it is, so harmless marks are not escaped: underscores within a word,
    brackets around an interval such as "[27, 35]", and ">" after the first character.
    """
    text = _MARKS.sub(r"\\\g<0>", text.replace("\n", " "))
    return _INTERVAL.sub(r"[\1]", text)


def part_to_markdown(part: Part) -> str:
    """Render a part as Markdown."""
    if isinstance(part, Heading):
        return f"## {markdown_text(part.text)}"
    if isinstance(part, Paragraph):
        return markdown_text(part.text)
    if isinstance(part, Table):
        rows = [
            "| " + " | ".join(map(markdown_text, row)) + " |" for row in (part.header, *part.rows)
        ]
        return "\n".join((rows[0], "|" + " --- |" * len(part.header), *rows[1:]))
    top = max(part.histogram.counts, default=0) or 1
    bars = [
        f"{label:>17}  {count:>9,}  {'█' * max(round(count / top * _BAR_CHARS), count > 0)}"
        for label, count in _bins(part.histogram)
    ]
    return "\n".join((f"**{markdown_text(part.title)}**", "", "```", *bars, "```"))


def part_to_html(part: Part) -> str:
    """Render a part as HTML."""
    if isinstance(part, Heading):
        return f"<h2>{escape(part.text)}</h2>"
    if isinstance(part, Paragraph):
        return f"<p>{escape(part.text)}</p>"
    if isinstance(part, Table):
        return _html_table(part)
    return _html_bars(part)


def _html_table(part: Table) -> str:
    """Render a table. On a narrow screen, rows with sentences become lists of their cells."""
    has_prose = any(len(cell) > _PROSE_CHARS for row in part.rows for cell in row)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in part.header)
    names = part.header if has_prose else []
    rows = "".join(f"<tr>{_html_cells(row, part.row_headers, names)}</tr>" for row in part.rows)
    kind = "wide prose" if has_prose else "wide"
    label = f' role="region" aria-label="{escape(part.label)}" tabindex="0"' if part.label else ""
    return (
        f'<div class="{kind}"{label}><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _html_cells(row: list[str], has_header: bool, names: list[str]) -> str:
    labels = [f' data-label="{escape(name)}"' for name in names] or [""] * len(row)
    cells = [f"<td{at}>{escape(cell)}</td>" for at, cell in zip(labels, row, strict=True)]
    if has_header:
        cells[0] = f'<th scope="row">{escape(row[0])}</th>'
    return "".join(cells)


def _bins(histogram: Histogram) -> Iterator[tuple[str, int]]:
    for low, high, count in zip(
        histogram.edges, histogram.edges[1:], histogram.counts, strict=False
    ):
        last = int(high) - 1
        if not low.is_integer():
            label = f"{low:g}"
        else:
            label = f"{int(low):,}" if last <= low else f"{int(low):,}–{last:,}"
        yield label, count


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
        f'<figure class="bars"><figcaption>{escape(part.title)}</figcaption>'
        f'<svg viewBox="0 0 {len(bins) * 24} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(part.title)}">{bars}</svg>'
        f'<div class="axis"><span>{escape(first)}</span><span>{escape(last)}</span></div></figure>'
    )


_STYLE: Final = files(__package__).joinpath("page.css").read_text("utf-8")


def page(*, title: str, body: str, style: str = "", script: str = "") -> str:
    """Return an HTML page in the style of all reports.

    `body` is HTML. `style` and `script` are CSS and JavaScript, and must come from this project.
    The page's content security policy allows exactly these, so that a text in `body` could neither
    run a script nor load anything even if it were not escaped.
    """
    style = _STYLE + style
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escape(title)}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{style}</style></head>\n<body>\n{body}\n"
        + (f"<script>{script}</script>\n" if script else "")
        + "</body></html>\n"
    )


def _digest(text: str) -> str:
    """Return the source expression of a content security policy that allows exactly this text."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'" if text else "'none'"
