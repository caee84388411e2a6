"""Findings on the quality of a row's answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from service.datasets.quality.answers import (
    has_html,
    has_placeholder,
    is_cut_off,
    is_echo,
    is_null,
)
from service.datasets.quality.json_answers import (
    arguments_break_schema,
    breaks_schema,
    is_broken,
)
from service.datasets.quality.refusals import is_refusal
from service.datasets.rows.conversation import Conversation
from service.datasets.rows.said import Said

CODES: Final = (
    "refusal",
    "cut_off_answer",
    "echo",
    "placeholder",
    "null_text",
    "html",
    "broken_json",
    "schema_mismatch",
    "arguments_mismatch",
)


def quality_bits(row: dict[str, Any], talk: Conversation, said: list[Said]) -> int:
    """Return a bit for each code that is found in a row, in the order of `CODES`."""
    first = talk.turns[0]
    if first.role == "text":  # which is the only turn, is no answer, and ends anywhere
        return 1 << CODES.index("null_text") if is_null(first.text) else 0
    bits = 0
    for code in _found(row, talk, said):
        bits |= 1 << CODES.index(code)
    return bits


def _found(row: dict[str, Any], talk: Conversation, said: list[Said]) -> Iterator[str]:
    if talk.has_tools and arguments_break_schema(row):
        yield "arguments_mismatch"
    last = talk.last_answer
    if talk.label is False or last >= len(talk.turns) or '"arguments"' in talk.turns[last].text:
        return
    answer, asked = talk.turns[last].text, talk.turns[last - 1] if last else None
    question = asked.text if asked is not None and asked.role == "user" else ""
    if is_refusal(answer):
        yield "refusal"
    if is_null(answer) or is_null(question):
        yield "null_text"
    elif is_cut_off(answer):
        yield "cut_off_answer"
    if last and question:
        before = said[last - 1]
        if is_echo(before.text, said[last].text, is_polite_only=before.is_polite_only):
            yield "echo"
    if has_placeholder(answer):
        yield "placeholder"
    if has_html(question, answer):
        yield "html"
    if is_broken(answer):
        yield "broken_json"
    elif breaks_schema(talk.system, answer):
        yield "schema_mismatch"
