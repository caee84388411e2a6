"""The findings and the rows that have them, as sections of the HTML page.

The rows can be filtered by language and finding without a script: radio buttons, and a style rule
for each. So the page works where scripts are forbidden, as in the sandbox of the API.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from typing import Final, NamedTuple

from service.datasets.checks.issues import Issue
from service.datasets.checks.table import CHECKS
from service.datasets.quality.scores import weight
from service.datasets.report.report import Report
from service.datasets.report.row_index import UNREADABLE
from service.datasets.report.shown_rows import OF_HELD, ShownRow, ShownRows, ShownText, ShownTurn
from service.datasets.report.words import run_text, runs, words
from service.datasets.text.languages import UNKNOWN, language_name

_STYLE: Final = files(__package__).joinpath("row_section.css").read_text("utf-8")
_COLUMNS = ("What", "Found", "For each 100 rows", "Lowers a score by", "How to fix", "Lines")
_MAX_CHOICES = 60
_OPEN_RUNS = 12


class Section(NamedTuple):
    """HTML, and the style that it needs."""

    html: str
    style: str


class _Filter(NamedTuple):
    """A choice of rows by a property: its title, and the values with the most rows."""

    title: str
    name: str
    rows: dict[str, int]

    def css_class(self, value: str) -> str:
        """Class of the rows with a value, and id of its radio button. Empty if it has none."""
        return f"{self.name}-{[*self.rows].index(value)}" if value in self.rows else ""


def row_section(report: Report, shown: ShownRows) -> Section:
    """Return the sections on findings and on rows."""
    languages = _filter("Language", "language", (_language(row) for row in shown.rows))
    found = (kind for row in shown.rows for kind in _kinds(row))
    filters = (languages, _filter("Finding", "finding", found))
    html = "\n".join((*_findings(report, shown), *_rows(shown, filters)))
    return Section(html, _STYLE + "".join(map(_rules, filters)))


def _filter(title: str, name: str, values: Iterable[str]) -> _Filter:
    return _Filter(title, name, dict(Counter(values).most_common(_MAX_CHOICES)))


def _language(row: ShownRow) -> str:
    if row.language == UNKNOWN:
        return "unknown"
    return language_name(row.language) if row.language != UNREADABLE else "none: broken row"


def _kinds(row: ShownRow) -> list[str]:
    return list(dict.fromkeys(words(issue.code) for issue in row.issues))


def _findings(report: Report, shown: ShownRows) -> Iterator[str]:
    counts = {**report.validation.counts, **report.finding_counts}
    yield "<h2>Findings</h2>"
    if not counts:
        yield "<p>None.</p>"
        return
    head = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
    anchors = {row.line for row in shown.rows}
    ranked = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    rows = "".join(_kind(code, count, report, shown, anchors) for code, count in ranked)
    yield (
        '<div class="wide prose" role="region" aria-label="Findings by kind" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    of_file = [
        issue for issue in (*report.validation.issues, *report.findings) if issue.line is None
    ]
    if of_file:
        yield f'<ul class="found">{"".join(map(_of_file, of_file))}</ul>'


def _kind(code: str, count: int, report: Report, shown: ShownRows, anchors: set[int]) -> str:
    share = 100 * count / max(report.validation.rows, 1)
    linked = anchors if code not in OF_HELD else set[int]()  # lines of the other file
    cells = (
        escape(words(code)),
        f"{count:,}",
        f"{share:.1f}",
        f"{weight(code).points:g}",
        escape(CHECKS[code].fix),
        _lines(shown.lines.get(code, []), count, linked),
    )
    named = zip(_COLUMNS, cells, strict=True)
    row = "".join(f'<td data-label="{name}">{cell}</td>' for name, cell in named)
    return f"<tr>{row}</tr>"


def _lines(lines: Sequence[int], count: int, anchors: set[int]) -> str:
    """Return all lines as ranges, many of them folded, with links to the rows that are shown."""
    written = [
        f'<a href="#row-{first}">{run_text(first, last)}</a>'
        if first in anchors
        else run_text(first, last)
        for first, last in runs(lines)
    ]
    if lines and len(lines) < count:
        written.append(f"and {count - len(lines):,} more")
    first, rest = ", ".join(written[:_OPEN_RUNS]), written[_OPEN_RUNS:]
    if not rest:
        return first
    return f"{first} <details><summary>and more lines</summary>{', '.join(rest)}</details>"


def _of_file(issue: Issue) -> str:
    return f'<li class="{issue.severity}">{escape(issue.message)} {escape(issue.fix)}</li>'


def _rows(shown: ShownRows, filters: tuple[_Filter, _Filter]) -> Iterator[str]:
    languages, findings = filters
    if not shown.rows:
        return
    yield "<h2>Rows with findings</h2>"
    rest = ""
    if len(shown.rows) < shown.total:
        rest = (
            f" Of {shown.total:,} such rows, {len(shown.rows):,} are shown, some of each kind; GET "
            "/v1/files/{id}/rows lists all."
        )
    yield (
        "<p>The lowest scores come first. Personal data that was found is masked, and long texts "
        f"are cut in the middle.{rest}</p>"
    )
    yield '<div class="rows">'
    used = [one for one in filters if len(one.rows) > 1]
    yield from map(_buttons, used)
    yield f'<div class="filters">{"".join(map(_labels, used))}</div>'
    yield "<ol>"
    for row in shown.rows:
        classes = [languages.css_class(_language(row)), *map(findings.css_class, _kinds(row))]
        yield _row(row, " ".join(filter(None, classes)))
    yield "</ol></div>"


def _buttons(one: _Filter) -> str:
    """Return the radio buttons, which precede the rows so that style rules can refer to both."""
    ids = [f"{one.name}-all", *map(one.css_class, one.rows)]
    return "".join(
        f'<input type="radio" name="{one.name}" id="{name}"{" checked" * (n == 0)}>'
        for n, name in enumerate(ids)
    )


def _labels(one: _Filter) -> str:
    labels = "".join(
        f'<label for="{one.css_class(value)}">{escape(value)} <small>{count:,}</small></label>'
        for value, count in one.rows.items()
    )
    return f'<p>{one.title}: <label for="{one.name}-all">all</label>{labels}</p>'


def _rules(one: _Filter) -> str:
    """Return the rules that hide the other rows, and that mark the label of the choice."""
    ids = [*map(one.css_class, one.rows)]
    hiding = "".join(
        f"#{name}:checked~ol>:not(.{name}):not(:target){{display:none}}" for name in ids
    )
    states = {"checked": "{background:var(--line)}", "focus-visible": "{outline:2px solid}"}
    return hiding + "".join(
        ",".join(f"#{name}:{state}~.filters [for={name}]" for name in (f"{one.name}-all", *ids))
        + style
        for state, style in states.items()
    )


def _row(row: ShownRow, classes: str) -> str:
    language = f" · {escape(_language(row))}" if row.text is not None else ""
    found = "".join(_finding(issue, row.others) for issue in row.issues)
    return (
        f'<li class="{classes}" id="row-{row.line}">'
        f"<h3>Line {row.line:,} <small>score {row.score:g}{language}</small></h3>"
        f'<ul class="found">{found}</ul>{_text(row.text)}</li>'
    )


def _finding(issue: Issue, others: dict[int, ShownText]) -> str:
    place = f" <small>{escape(issue.pointer)}</small>" if issue.pointer else ""
    other = None if issue.other_line is None else others.get(issue.other_line)
    compared = ""
    if other is not None and issue.code != "exact_duplicate":
        alike = "" if issue.similarity is None else f", similarity {issue.similarity:.0%}"
        compared = (
            f"<details><summary>Line {issue.other_line:,}{alike}</summary>{_text(other)}</details>"
        )
    return f'<li class="{issue.severity}">{escape(issue.message)}{place}{compared}</li>'


def _text(text: ShownText | None) -> str:
    if text is None:
        return ""
    if not text.turns:
        return "<p><small>The row is too large to show here.</small></p>"
    language = f' lang="{escape(text.language)}"' if text.language != UNKNOWN else ""
    return f'<div class="text"{language}>{"".join(map(_turn, text.turns))}</div>'


def _turn(turn: ShownTurn) -> str:
    left_out = f"<p><small>… {turn.left_out:,} more …</small></p>" if turn.left_out else ""
    return f'{left_out}<p dir="auto"><b>{escape(turn.role)}</b> {escape(turn.text)}</p>'
