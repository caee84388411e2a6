"""The rows of the HTML report, side by side and worst first, with filters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html import escape
from typing import Any, Final

from service.verdict.comparison import PROMPT, Answer, Column, Comparison, score_of
from service.verdict.report import tables
from service.verdict.report.rows import RankedRow, outcome_of, ranked
from service.verdict.report.text import message_text, name, shown
from service.verdict.wording import counted, metric_name, points

MAX_ROWS: Final = 1_000
# Limits of a text. All texts together stay below 8 million characters, which browsers scroll well.
_MAX_CHARS, _MIN_CHARS, _ALL_CHARS = 4_000, 300, 8_000_000
_MAX_MESSAGES = 20
_TAG: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")  # BCP 47, roughly
_OUTCOMES: Final = ("better", "equal", "worse", "failed")


def rows_section(comparison: Comparison) -> Iterator[str]:
    """Yield the heading, the filters and the rows. Without JavaScript, filters are hidden."""
    if not comparison.rows:
        return
    rows = ranked(comparison)[:MAX_ROWS]
    limit = _text_limit(comparison, len(rows))
    yield "<h2>Rows, worst first</h2>"
    if len(comparison.rows) > len(rows):
        yield f"<p>The worst {len(rows):,} of {counted(len(comparison.rows), 'row')} are shown.</p>"
    yield _filters(comparison)
    yield '<div id="rows">'
    for row in rows:
        yield _row(comparison, row, limit)
    yield "</div>"


def _text_limit(comparison: Comparison, rows: int) -> int:
    texts = rows * (len(comparison.columns) + 2)
    return max(_MIN_CHARS, min(_MAX_CHARS, _ALL_CHARS // texts))


def _filters(comparison: Comparison) -> str:
    rivals = [("base", "the base")]
    if comparison.column(PROMPT) is not None:
        rivals.append(("prompt", "the best prompt"))
    outcomes = [("", "any score"), *((one, one) for one in _OUTCOMES)]
    fields = [
        _select("outcome", "Tuned is", outcomes),
        _select("rival", "compared with", rivals),
    ]
    counts = Counter(row.language for row in comparison.rows)
    if len(counts) > 1:
        fields.insert(0, _select("language", "Language", _languages(counts)))
    return (
        '<form id="filters" role="search" aria-label="Filter rows" hidden>'
        + "".join(fields)
        + '<label>Text <input type="search" name="text" maxlength="200"></label>'
        '<output name="count" aria-live="polite"></output></form>'
    )


def _languages(counts: Counter[str | None]) -> list[tuple[str, str]]:
    options = [("", "all")]
    for language, rows in counts.most_common():
        label = tables.language_label(language) if language else "not given"
        options.append((name(language or "none"), f"{label} ({rows:,})"))
    return options


def _select(field: str, label: str, options: list[tuple[str, str]]) -> str:
    choices = "".join(
        f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options
    )
    return f'<label>{escape(label)} <select name="{field}">{choices}</select></label>'


def _row(comparison: Comparison, found: RankedRow, limit: int) -> str:
    row = found.row
    language = f' lang="{row.language}"' if _TAG.fullmatch(row.language or "") else ""
    answers = "".join(
        _answer(comparison, column, found, limit, language) for column in comparison.columns
    )
    return (
        f'<article data-language="{escape(name(row.language or "none"))}" '
        f'data-base="{outcome_of(found.against_base)}" '
        f'data-prompt="{outcome_of(found.against_prompt)}">'
        f"<h3>{escape(_title(comparison, found))}</h3>"
        f'<div class="asked"><div>{_prompt(row.prompt, limit, language)}</div>'
        f'<div class="text"><h4>reference</h4>{_text(row.reference, limit, language)}</div></div>'
        f'<div class="answers">{answers}</div></article>'
    )


def _prompt(messages: list[dict[str, Any]], limit: int, language: str) -> str:
    """Return the last message, after earlier ones that are folded."""
    shown_ones = [_message(message, limit, language) for message in messages[-_MAX_MESSAGES:]]
    if len(messages) < 2:
        return "".join(shown_ones)
    summary = counted(len(messages) - 1, "earlier message")
    if len(messages) > _MAX_MESSAGES:
        summary += f", the last {_MAX_MESSAGES - 1} of which are shown"
    folded = "".join(shown_ones[:-1])
    return f"<details><summary>{summary}</summary>{folded}</details>{shown_ones[-1]}"


def _message(message: dict[str, Any], limit: int, language: str) -> str:
    role = escape(name(str(message.get("role", "message"))))
    return f'<div class="text"><h4>{role}</h4>{_text(message_text(message), limit, language)}</div>'


def _title(comparison: Comparison, found: RankedRow) -> str:
    parts = [found.label]
    if found.row.language:
        parts.append(tables.language_label(found.row.language))
    if found.against_base is not None:
        metric = name(metric_name(found.metric.name))
        parts.append(f"{tables.signed(found.against_base)} {metric} against the base")
    return " · ".join(parts)


def _answer(
    comparison: Comparison, column: Column, found: RankedRow, limit: int, language: str
) -> str:
    answer = found.row.answers.get(column.name)
    text = ""
    if answer is None:
        figures = "no answer"
    elif answer.error is not None:
        figures = f"failed: {name(answer.error)}"
    else:
        figures = _figures(answer, score_of(found.row, column.name, found.metric))
        text = _text(answer.said, limit, language)
    label = tables.column_label(column)
    return (
        f'<div class="text"><h4>{escape(label)}</h4><p class="figures">{escape(figures)}</p>'
        f"{text}</div>"
    )


def _figures(answer: Answer, score: float | None) -> str:
    parts = ["no score" if score is None else points(score, 1)]
    parts.append(counted(answer.completion_tokens, "token"))
    if answer.latency_s is not None:
        parts.append(f"{answer.latency_s:.2f} s")
    if answer.finish_reason not in {None, "stop"}:
        parts.append(name(f"ended by {answer.finish_reason}"))
    return " · ".join(parts)


def _text(text: str, limit: int, language: str) -> str:
    cut = shown(text, limit)
    note = f'<p class="cut">{escape(cut.note)}</p>' if cut.note else ""
    if not cut.text:
        return '<p class="cut">empty</p>'
    return f'<div class="said" dir="auto"{language}>{escape(cut.text)}</div>{note}'
