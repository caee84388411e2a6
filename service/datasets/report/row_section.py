"""Selects and prepares the rows with findings for the HTML report.

Rows are sorted by score, the lowest first, and can be filtered by language and finding without
scripts: there is a radio button and a style rule for each choice. The page thus works where scripts
are forbidden, as in the API's sandbox.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from service.datasets.checks.issue_codes import CHECKS
from service.datasets.checks.issues import Issue, Severity
from service.datasets.contract.report import Report
from service.datasets.duplicates.compare import RowTexts
from service.datasets.duplicates.groups import Lines
from service.datasets.file_features import Collected
from service.datasets.personal_data.redact import Redactor, learn_conversation, mask_turns
from service.datasets.quality import score, weight
from service.datasets.report.row_index import UNREADABLE, by_line
from service.datasets.rows.conversation import Turn
from service.datasets.text.languages import UNKNOWN, language_name

VALIDATION_FILE_CODES = frozenset(["overlap", "meaning_overlap"])
"""Codes of issues whose lines are those of the validation file."""

FINDING_COLUMNS: Final = ("What", "Found", "For each 100 rows", "Lowers a score by")
COLUMNS: Final = (*FINDING_COLUMNS, "How to fix", "Lines")
_MAX_CHOICES = 60
_UNFOLDED_RUNS = 12
MAX_ROWS = 1_000
# Masking takes about 1 ms per kilobyte, so these limits keep the page within a few seconds.
_MAX_BYTES, _MAX_ROW_BYTES = 4 * 1024 * 1024, 64 * 1024
_TURNS_AT_START, _TURNS_AT_END = 2, 4
_CHARS_AT_START, _CHARS_AT_END = 600, 300


class ShownTurn(NamedTuple):
    """A turn of a row, without personal data. `left_out` turns before it are omitted."""

    role: str
    text: str
    left_out: int = 0


class ShownText(NamedTuple):
    """The language and the turns of a row. There are no turns if the row is too large to show."""

    language: str
    turns: Sequence[ShownTurn]


class ShownRow(NamedTuple):
    """A row with its findings. A broken row has no text.

    `others` has the texts of the rows that the findings on pairs compare it with, by line.
    """

    line: int
    score: float
    issues: Sequence[Issue]
    text: ShownText | None
    others: dict[int, ShownText]

    @property
    def language(self) -> str:
        """Language of the row, or an empty text if it is broken."""
        return UNREADABLE if self.text is None else self.text.language


class ShownRows(NamedTuple):
    """The rows to show, how many rows have findings, and the lines of all findings by code."""

    rows: Sequence[ShownRow]
    total: int
    lines: dict[str, list[int]]


def shown_rows(
    lines: Lines, collected: Collected, issues: Sequence[Issue], redactor: Redactor
) -> ShownRows:
    """Return the rows to show, given the issues of the rows on the given lines.

    If there are too many, some of each code are shown.
    """
    of_code: dict[str, list[int]] = {}
    for issue in issues:
        if issue.line is not None:
            of_code.setdefault(issue.code, []).append(issue.line)
    found = by_line(issue for issue in issues if issue.code not in VALIDATION_FILE_CODES)
    scores = {line: score(issue.code for issue in of_line) for line, of_line in found.items()}
    chosen = _chosen(of_code, scores)
    with collected.texts() as texts:
        reader = _Reader(lines, collected, texts, redactor)
        rows = [_shown_row(line, scores[line], found[line], reader) for line in chosen]
    return ShownRows(rows, len(found), of_code)


def _chosen(of_code: dict[str, list[int]], scores: dict[int, float]) -> list[int]:
    """Return the lines to show, the lowest scores first."""
    chosen = set(scores)
    if len(chosen) > MAX_ROWS:
        most = max(MAX_ROWS // len(of_code), 1)
        chosen = set()
        for code, lines in of_code.items():
            if code not in VALIDATION_FILE_CODES:
                chosen.update(_worst(set(lines), scores)[:most])
        rest = _worst(scores.keys() - chosen, scores)
        chosen.update(rest[: max(MAX_ROWS - len(chosen), 0)])
    return _worst(chosen, scores)


def _worst(lines: Iterable[int], scores: dict[int, float]) -> list[int]:
    return sorted(lines, key=lambda line: (scores[line], line))


def _shown_row(line: int, score: float, issues: Sequence[Issue], reader: _Reader) -> ShownRow:
    others = dict.fromkeys(one.other_line for one in issues if one.other_line is not None)
    texts = {other: text for other in others if (text := reader.read(other)) is not None}
    ranked = sorted(issues, key=lambda issue: list(Severity).index(issue.severity))
    return ShownRow(line, score, ranked, reader.read(line), texts)


class _Reader:
    """Reads the texts of rows by line, up to a limit, and masks personal data in them."""

    def __init__(
        self, lines: Lines, collected: Collected, texts: RowTexts, redactor: Redactor
    ) -> None:
        self._lines = lines
        self._collected = collected
        self._texts = texts
        self._redactor = redactor
        self._room = _MAX_BYTES
        self._read: dict[int, ShownText] = {}

    def read(self, line: int) -> ShownText | None:
        """Return the text of a row, or None if the line has no valid row."""
        row = int(np.searchsorted(self._lines, line))
        if row == len(self._lines) or int(self._lines[row]) != line:
            return None
        if line not in self._read:
            self._read[line] = self._text(row)
        return self._read[line]

    def _text(self, row: int) -> ShownText:
        features = self._collected.features[row]
        language = self._collected.languages[int(features["language"])]
        size = int(features["bytes"])
        if size > min(self._room, _MAX_ROW_BYTES):
            return ShownText(language, ())
        self._room -= size
        conversation = self._texts.conversation(row)
        if features["personal"]:
            learn_conversation(self._redactor, conversation)
        conversation = mask_turns(self._redactor, conversation)
        turns = [
            *conversation.turns,
            *(turn._replace(role="rejected") for turn in conversation.rejected),
        ]
        return ShownText(language, list(_cut(turns)))


def _cut(turns: Sequence[Turn]) -> list[ShownTurn]:
    """Return the first and last turns, and the first and last characters of each."""
    middle = max(len(turns) - _TURNS_AT_START - _TURNS_AT_END, 0)
    first = [ShownTurn(turn.role, _short(turn.text)) for turn in turns[:_TURNS_AT_START]]
    last = [ShownTurn(turn.role, _short(turn.text)) for turn in turns[_TURNS_AT_START + middle :]]
    return [*first, *(turn._replace(left_out=middle * (n == 0)) for n, turn in enumerate(last))]


def _short(text: str) -> str:
    if len(text) <= _CHARS_AT_START + _CHARS_AT_END:
        return text
    return f"{text[:_CHARS_AT_START].rstrip()} … {text[-_CHARS_AT_END:].lstrip()}"


_NAMED = {
    "null_text": "missing value written as text",
    "html": "HTML",
    "broken_json": "broken JSON",
    "invalid_json": "line that is not JSON",
    "wrong_language": "row in a rare language",
    "same_form": "same form, different facts",
    "iban": "IBAN",
    "ip_address": "IP address",
}


def words(code: str) -> str:
    """Return the code of a finding or of a kind of personal data in words."""
    return _NAMED.get(code, code.replace("_", " "))


_ACRONYMS = frozenset(
    ("bvn", "cccd", "gstin", "id", "nik", "nin", "npwp", "nric", "pan", "rrn", "ssn", "tin")
)


def kind_words(kind: str) -> str:
    """Return a kind of personal data in words, such as "TH national ID"."""
    first, *rest = kind.split("_")
    if kind in _NAMED or not rest:
        return words(kind)
    country = first.upper() if len(first) == 2 else first
    return " ".join([country, *(word.upper() if word in _ACRONYMS else word for word in rest)])


def message_of(issue: Issue) -> str:
    """Return the message of a finding, with kinds of personal data in words."""
    if issue.code != "personal_data":
        return issue.message
    return _KIND.sub(lambda found: kind_words(found.group()), issue.message)


_KIND = re.compile(r"\b[a-z]+(?:_[a-z0-9]+)+\b")


def runs(lines: Iterable[int]) -> list[tuple[int, int]]:
    """Return the first and last line of each run of consecutive lines."""
    found: list[tuple[int, int]] = []
    for line in sorted(set(lines)):
        if found and line == found[-1][1] + 1:
            found[-1] = (found[-1][0], line)
        else:
            found.append((line, line))
    return found


def run_text(first: int, last: int) -> str:
    """Return a run of lines as a range."""
    return f"{first}" if first == last else f"{first}–{last}"


class LineRun(NamedTuple):
    """A run of lines as text. `is_shown` is whether the page shows the row on the line `first`."""

    text: str
    first: int = 0
    is_shown: bool = False


class FindingKind(NamedTuple):
    """A kind of finding: the cells of its table row, its first lines, and its folded lines."""

    cells: tuple[str, ...]
    lines: list[LineRun]
    more_lines: list[LineRun]


class Filter(NamedTuple):
    """A filter of rows by a property: its title, and the number of rows per value."""

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
        f"Of {shown.total:,} such rows, {len(shown.rows):,} are shown, some of each kind; "
        "finetuned files rows FILE lists all."
    )


def _finding_kinds(report: Report, shown: ShownRows) -> Iterator[FindingKind]:
    anchors = {row.line for row in shown.rows}
    for code, count in finding_counts(report):
        # Lines of the validation file have no anchor.
        linked = set[int]() if code in VALIDATION_FILE_CODES else anchors
        lines = _lines(shown.lines.get(code, []), count, linked)
        *figures, _ = finding_cells(report, code, count)
        cells = (*figures, f"{weight(code).points:g}", CHECKS[code].fix)
        yield FindingKind(cells, lines[:_UNFOLDED_RUNS], lines[_UNFOLDED_RUNS:])


def finding_counts(report: Report) -> list[tuple[str, int]]:
    """Return the number of findings of each code, the most frequent first."""
    counts = {**report.validation.counts, **report.finding_counts}
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def finding_cells(report: Report, code: str, count: int) -> tuple[str, ...]:
    """Return the cells of a kind of finding: name, number, share, and effect on scores."""
    share = 100 * count / max(report.validation.rows, 1)
    lost = report.scores.weights.get(code, 0) if report.scores is not None else 0
    return words(code), f"{count:,}", f"{share:.1f}", f"{lost:g}"


def _lines(lines: Sequence[int], count: int, anchors: set[int]) -> list[LineRun]:
    """Return all lines as ranges, linked to the rows that are shown."""
    found = [
        LineRun(run_text(first, last), first, is_shown=first in anchors)
        for first, last in runs(lines)
    ]
    if lines and len(lines) < count:
        found.append(LineRun(f"and {count - len(lines):,} more"))
    return found
