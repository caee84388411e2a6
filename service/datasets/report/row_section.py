"""The findings and the rows that have them, as the HTML page shows them.

The rows can be filtered by language and finding without a script: radio buttons, and a style rule
for each. So the page works where scripts are forbidden, as in the sandbox of the API.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from service.datasets.checks.issues import Issue
from service.datasets.checks.table import CHECKS
from service.datasets.quality.scores import weight
from service.datasets.report.report import Report
from service.datasets.report.row_index import UNREADABLE
from service.datasets.report.shown_rows import OF_HELD, ShownRow, ShownRows
from service.datasets.report.words import run_text, runs, words
from service.datasets.text.languages import UNKNOWN, language_name

COLUMNS: Final = (
    "What", "Found", "For each 100 rows", "Lowers a score by", "How to fix", "Lines",
)  # fmt: skip
_MAX_CHOICES = 60
_OPEN_RUNS = 12


class Lines(NamedTuple):
    """A run of lines as text. If `is_shown`, the page has the row of the line `first`."""

    text: str
    first: int = 0
    is_shown: bool = False


class FindingKind(NamedTuple):
    """A kind of finding: the cells of its table row, and its lines, of which many are folded."""

    cells: tuple[str, ...]
    lines: list[Lines]
    more_lines: list[Lines]


class Filter(NamedTuple):
    """A choice of rows by a property: its title, and the values with the most rows."""

    title: str
    name: str
    rows: dict[str, int]

    def css_class(self, value: str) -> str:
        """Class of the rows with a value, and id of its radio button. Empty if it has none."""
        return f"{self.name}-{[*self.rows].index(value)}" if value in self.rows else ""

    @property
    def ids(self) -> list[str]:
        """Ids of the radio buttons. They precede the rows, so that style rules refer to both."""
        return [f"{self.name}-all", *map(self.css_class, self.rows)]

    @property
    def style(self) -> str:
        """Rules that hide the other rows, and that mark the label of the choice."""
        ids = self.ids
        hiding = "".join(
            f"#{name}:checked~ol>:not(.{name}):not(:target){{display:none}}" for name in ids[1:]
        )
        states = {"checked": "{background:var(--line)}", "focus-visible": "{outline:2px solid}"}
        return hiding + "".join(
            ",".join(f"#{name}:{state}~.filters [for={name}]" for name in ids) + style
            for state, style in states.items()
        )


class Section(NamedTuple):
    """The findings by kind, those of the file itself, and the rows with language and classes.

    `rest` says which rows are not shown. Filters with one value are left out.
    """

    kinds: list[FindingKind]
    of_file: list[Issue]
    rows: list[tuple[ShownRow, str, str]]
    rest: str
    filters: list[Filter]
    style: str


def row_section(report: Report, shown: ShownRows) -> Section:
    """Return the sections on findings and on rows."""
    languages = _filter("Language", "language", (_language(row) for row in shown.rows))
    found = (kind for row in shown.rows for kind in _kinds(row))
    findings = _filter("Finding", "finding", found)
    issues = (*report.validation.issues, *report.findings)
    return Section(
        kinds=list(_finding_kinds(report, shown)),
        of_file=[issue for issue in issues if issue.line is None],
        rows=[
            (row, _language(row), " ".join(filter(None, _classes(row, languages, findings))))
            for row in shown.rows
        ],
        rest=_rest(shown),
        filters=[one for one in (languages, findings) if len(one.rows) > 1],
        style=languages.style + findings.style,
    )


def _filter(title: str, name: str, values: Iterable[str]) -> Filter:
    return Filter(title, name, dict(Counter(values).most_common(_MAX_CHOICES)))


def _classes(row: ShownRow, languages: Filter, findings: Filter) -> list[str]:
    return [languages.css_class(_language(row)), *map(findings.css_class, _kinds(row))]


def _language(row: ShownRow) -> str:
    if row.language == UNKNOWN:
        return "unknown"
    return language_name(row.language) if row.language != UNREADABLE else "none: broken row"


def _kinds(row: ShownRow) -> list[str]:
    return list(dict.fromkeys(words(issue.code) for issue in row.issues))


def _rest(shown: ShownRows) -> str:
    if len(shown.rows) == shown.total:
        return ""
    return (
        f"Of {shown.total:,} such rows, {len(shown.rows):,} are shown, some of each kind; GET "
        "/v1/files/{id}/rows lists all."
    )


def _finding_kinds(report: Report, shown: ShownRows) -> Iterator[FindingKind]:
    counts = {**report.validation.counts, **report.finding_counts}
    anchors = {row.line for row in shown.rows}
    for code, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        linked = anchors if code not in OF_HELD else set[int]()  # lines of the other file
        lines = _lines(shown.lines.get(code, []), count, linked)
        cells = (
            words(code),
            f"{count:,}",
            f"{100 * count / max(report.validation.rows, 1):.1f}",
            f"{weight(code).points:g}",
            CHECKS[code].fix,
        )
        yield FindingKind(cells, lines[:_OPEN_RUNS], lines[_OPEN_RUNS:])


def _lines(lines: Sequence[int], count: int, anchors: set[int]) -> list[Lines]:
    """Return all lines as ranges, linked to the rows that are shown."""
    found = [
        Lines(run_text(first, last), first, is_shown=first in anchors)
        for first, last in runs(lines)
    ]
    if lines and len(lines) < count:
        found.append(Lines(f"and {count - len(lines):,} more"))
    return found
