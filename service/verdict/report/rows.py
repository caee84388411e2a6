"""Ranks the rows of the report, worst first, and prepares them for display."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from markupsafe import Markup

from service.reports.render import escape_markdown
from service.verdict.comparison import (
    BASE,
    PROMPT,
    TUNED,
    Answer,
    Column,
    Comparison,
    Metric,
    Row,
    score_of,
)
from service.verdict.report.sections import (
    SafeText,
    column_label,
    language_label,
    make_safe,
    message_text,
    safe_name,
    signed,
)
from service.verdict.wording import metric_name, points, quantity

MAX_ROWS: Final = 1_000
# Limits of a text. All texts together stay below 8 million characters, which browsers scroll well.
_MAX_CHARS, _MIN_CHARS, _ALL_CHARS = 4_000, 300, 8_000_000
_MAX_MESSAGES = 20
_MARKDOWN_ROWS, _MARKDOWN_CHARS = 5, 240
_TAG: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")  # BCP 47, roughly
_OUTCOMES: Final = ("better", "equal", "worse", "failed")
_EQUAL = 1e-9


@dataclass(frozen=True)
class RankedRow:
    """A row with the tuned model's score minus those of base and prompt, from -1 to 1.

    Differences are positive if the tuned model is better, and None if an answer failed. They are in
    the primary metric, or in another one if the primary does not apply to the row.
    """

    row: Row
    place: int
    metric: Metric
    against_base: float | None
    against_prompt: float | None

    @property
    def label(self) -> str:
        """Line of the row in the held-out file, or its place if it has none."""
        return f"Row {self.place}" if self.row.line is None else f"Line {self.row.line}"


def rank_rows(comparison: Comparison) -> list[RankedRow]:
    """Return the rows, worst first: largest loss against the base, then lowest score of tuned.

    Rows without a difference, since an answer failed, come before all others.
    """
    found = []
    for place, row in enumerate(comparison.rows, 1):
        metric = _metric_of(comparison, row)
        sign = 1.0 if metric.higher_is_better else -1.0
        tuned, base, prompt = (score_of(row, column, metric) for column in (TUNED, BASE, PROMPT))
        against_base = None if tuned is None or base is None else sign * (tuned - base)
        against_prompt = None if tuned is None or prompt is None else sign * (tuned - prompt)
        order = (
            -2.0 if against_base is None else against_base,
            -2.0 if tuned is None else sign * tuned,
            place,
        )
        found.append((order, RankedRow(row, place, metric, against_base, against_prompt)))
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def _metric_of(comparison: Comparison, row: Row) -> Metric:
    """Return the first metric that scores the row, the primary before others."""
    metrics = [comparison.primary, *comparison.metrics]
    scored = (m for m in metrics if any(score_of(row, name, m) is not None for name in row.answers))
    return next(scored, comparison.primary)


def outcome_of(difference: float | None) -> str:
    """Return "better", "equal", "worse", or "failed" if an answer is missing."""
    if difference is None:
        return "failed"
    if abs(difference) <= _EQUAL:
        return "equal"
    return "better" if difference > 0 else "worse"


class ShownMessage(NamedTuple):
    """A message of a prompt."""

    role: str
    text: SafeText


class ShownAnswer(NamedTuple):
    """An answer with its figures. `text` is None if there is no answer."""

    label: str
    figures: str
    text: SafeText | None


class ShownRow(NamedTuple):
    """A row of the HTML page.

    `tag` is the value of the attribute `lang`, or empty. `base` and `prompt` are the outcomes
    against these columns. `folded` summarizes the messages before the last one, if there are any.
    """

    title: str
    language: str
    tag: str
    base: str
    prompt: str
    messages: list[ShownMessage]
    folded: str
    reference: SafeText
    answers: list[ShownAnswer]


def html_rows(comparison: Comparison) -> list[ShownRow]:
    """Return the rows that the page shows."""
    rows = rank_rows(comparison)[:MAX_ROWS]
    texts = len(rows) * (len(comparison.columns) + 2)
    limit = max(_MIN_CHARS, min(_MAX_CHARS, _ALL_CHARS // max(texts, 1)))
    return [_html_row(comparison, found, limit) for found in rows]


def _html_row(comparison: Comparison, found: RankedRow, limit: int) -> ShownRow:
    row = found.row
    parts = [found.label]
    if row.language:
        parts.append(language_label(row.language))
    if found.against_base is not None:
        parts.append(_against_base(found.against_base, found.metric))
    earlier = len(row.prompt) - 1
    folded = quantity(earlier, "earlier message") if earlier > 0 else ""
    if len(row.prompt) > _MAX_MESSAGES:
        folded += f", the last {_MAX_MESSAGES - 1} of which are shown"
    return ShownRow(
        title=" · ".join(parts),
        language=safe_name(row.language or "none"),
        tag=row.language if row.language and _TAG.fullmatch(row.language) else "",
        base=outcome_of(found.against_base),
        prompt=outcome_of(found.against_prompt),
        messages=[_message(message, limit) for message in row.prompt[-_MAX_MESSAGES:]],
        folded=folded,
        reference=make_safe(row.reference, limit),
        answers=[_answer(column, found, limit) for column in comparison.columns],
    )


def _against_base(difference: float, metric: Metric) -> str:
    return f"{signed(difference)} {safe_name(metric_name(metric.name))} against the base"


def _message(message: dict[str, Any], limit: int) -> ShownMessage:
    role = safe_name(str(message.get("role", "message")))
    return ShownMessage(role, make_safe(message_text(message), limit))


def _answer(column: Column, found: RankedRow, limit: int) -> ShownAnswer:
    label, answer = column_label(column), found.row.answers.get(column.name)
    if answer is None:
        return ShownAnswer(label, "no answer", None)
    if answer.error is not None:
        return ShownAnswer(label, f"failed: {safe_name(answer.error)}", None)
    figures = _figures(answer, score_of(found.row, column.name, found.metric))
    return ShownAnswer(label, figures, make_safe(answer.full_text, limit))


def _figures(answer: Answer, score: float | None) -> str:
    parts = ["no score" if score is None else points(score, 1)]
    parts.append(quantity(answer.completion_tokens, "token"))
    if answer.latency_s is not None:
        parts.append(f"{answer.latency_s:.2f} s")
    if answer.finish_reason not in {None, "stop"}:
        parts.append(safe_name(f"ended by {answer.finish_reason}"))
    return " · ".join(parts)


class Filter(NamedTuple):
    """A choice among rows: the name of its field, its label, and its values with their labels."""

    name: str
    label: str
    options: list[tuple[str, str]]


def row_filters(comparison: Comparison) -> list[Filter]:
    """Return the filters of the page, which its script applies."""
    rivals = [("base", "the base")]
    if comparison.column(PROMPT) is not None:
        rivals.append(("prompt", "the best prompt"))
    outcomes = [("", "any score"), *((one, one) for one in _OUTCOMES)]
    filters = [
        Filter("outcome", "Tuned is", outcomes),
        Filter("rival", "compared with", rivals),
    ]
    counts = Counter(row.language for row in comparison.rows)
    if len(counts) > 1:
        filters.insert(0, Filter("language", "Language", _languages(counts)))
    return filters


def _languages(counts: Counter[str | None]) -> list[tuple[str, str]]:
    options = [("", "all")]
    for language, rows in counts.most_common():
        label = language_label(language) if language else "not given"
        options.append((safe_name(language or "none"), f"{label} ({rows:,})"))
    return options


class MarkdownRow(NamedTuple):
    """A row in Markdown: its title, and the texts with their labels."""

    title: str
    texts: list[tuple[str, Markup]]


def markdown_rows(comparison: Comparison) -> list[MarkdownRow]:
    """Return the worst rows."""
    rows = rank_rows(comparison)[:_MARKDOWN_ROWS]
    return [
        MarkdownRow(_markdown_title(found), list(_markdown_texts(comparison, found)))
        for found in rows
    ]


def _markdown_title(found: RankedRow) -> str:
    title = found.label
    if found.row.language:
        title += f", {language_label(found.row.language)}"
    if found.against_base is not None:
        title += f": {_against_base(found.against_base, found.metric)}"
    return title


def _markdown_texts(comparison: Comparison, found: RankedRow) -> Iterator[tuple[str, Markup]]:
    row = found.row
    if row.prompt:
        yield "prompt", _code(message_text(row.prompt[-1]))
    yield "reference", _code(row.reference)
    for column in comparison.columns:
        answer = row.answers.get(column.name)
        if answer is None:
            continue
        score = score_of(row, column.name, found.metric)
        label = column_label(column)
        label += "" if score is None else f" ({points(score, 1)})"
        if answer.error is None:
            yield label, _code(answer.full_text)
        else:
            yield label, escape_markdown("failed: ") + _code(answer.error)


def _code(text: str) -> Markup:
    """Return a text as a code span, in which Markdown, HTML, links and mentions have no effect."""
    cut = make_safe(text, _MARKDOWN_CHARS)
    on_one_line = " ".join(cut.text.split()) + ("…" if cut.left_out else "")
    if not on_one_line:
        return Markup("(empty)")
    longest = max(map(len, re.findall("`+", on_one_line)), default=0)
    fence = "`" * (longest + 1)
    return Markup(f"{fence} {on_one_line} {fence}")  # noqa: S704  # a code span is Markdown
