"""Rows that the HTML report shows with their texts: those with findings, the worst first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from service.datasets.checks.issues import Issue, Severity
from service.datasets.duplicates.groups import Lines
from service.datasets.duplicates.texts import RowTexts
from service.datasets.personal_data.redact import Redactor
from service.datasets.personal_data.redact_row import learn_talk, mask_turns
from service.datasets.quality.scores import score
from service.datasets.report.collect import Collected
from service.datasets.report.row_index import UNREADABLE, by_line
from service.datasets.rows.conversation import Turn

OF_HELD = frozenset(["overlap", "meaning_overlap"])
"""Codes of issues whose lines are those of the validation file."""

MAX_ROWS = 1_000
# Masking takes about 1 ms per kilobyte, so these limits keep the page within a few seconds.
_MAX_BYTES, _MAX_ROW_BYTES = 4 * 1024 * 1024, 64 * 1024
_TURNS_AT_START, _TURNS_AT_END = 2, 4
_CHARS_AT_START, _CHARS_AT_END = 600, 300


class ShownTurn(NamedTuple):
    """A turn of a row, without personal data. `left_out` turns before it are not shown."""

    role: str
    text: str
    left_out: int = 0


class ShownText(NamedTuple):
    """What a row says, and its language. There are no turns if the row is too large to show."""

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
    found = by_line(issue for issue in issues if issue.code not in OF_HELD)
    scores = {line: score(issue.code for issue in of_line) for line, of_line in found.items()}
    chosen = _chosen(of_code, scores)
    with collected.texts() as texts:
        reader = _Reader(lines, collected, texts, redactor)
        rows = [_row(line, scores[line], found[line], reader) for line in chosen]
    return ShownRows(rows, len(found), of_code)


def _chosen(of_code: dict[str, list[int]], scores: dict[int, float]) -> list[int]:
    """Return the lines to show, the lowest scores first."""
    chosen = set(scores)
    if len(chosen) > MAX_ROWS:
        most = max(MAX_ROWS // len(of_code), 1)
        chosen = set()
        for code, lines in of_code.items():
            if code not in OF_HELD:
                chosen.update(_worst(set(lines), scores)[:most])
        rest = _worst(scores.keys() - chosen, scores)
        chosen.update(rest[: max(MAX_ROWS - len(chosen), 0)])
    return _worst(chosen, scores)


def _worst(lines: Iterable[int], scores: dict[int, float]) -> list[int]:
    return sorted(lines, key=lambda line: (scores[line], line))


def _row(line: int, score: float, issues: Sequence[Issue], reader: _Reader) -> ShownRow:
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
        talk = self._texts.conversation(row)
        if features["personal"]:
            learn_talk(self._redactor, talk)
        talk = mask_turns(self._redactor, talk)
        turns = [*talk.turns, *(turn._replace(role="rejected") for turn in talk.rejected)]
        return ShownText(language, list(_cut(turns)))


def _cut(turns: Sequence[Turn]) -> list[ShownTurn]:
    """Return the first and last turns. What is left out of a turn is in the middle, too."""
    middle = max(len(turns) - _TURNS_AT_START - _TURNS_AT_END, 0)
    first = [ShownTurn(turn.role, _short(turn.text)) for turn in turns[:_TURNS_AT_START]]
    last = [ShownTurn(turn.role, _short(turn.text)) for turn in turns[_TURNS_AT_START + middle :]]
    return [*first, *(turn._replace(left_out=middle * (n == 0)) for n, turn in enumerate(last))]


def _short(text: str) -> str:
    if len(text) <= _CHARS_AT_START + _CHARS_AT_END:
        return text
    return f"{text[:_CHARS_AT_START].rstrip()} … {text[-_CHARS_AT_END:].lstrip()}"
