"""Personal data of training rows that a model's answers return."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from service.datasets.personal_data.detect import find_personal_data, may_hold_personal_data
from service.datasets.personal_data.known_values import KnownValues, Value
from service.datasets.personal_data.redact import languages_of
from service.datasets.rows.conversation import split_row
from service.evaluation.comparison import LeakedRow

MAX_LINES_A_VALUE = 5
"""Training lines that are listed for one value. A shop's own number may be in every row."""


class Reply(NamedTuple):
    """An answer of the tuned model, and what the model was given.

    `given` is the prompt, with the start of the answer if the model had to continue it. `base` is
    the base model's answer to the same prompt, if there is one.
    """

    given: str
    answer: str
    base: str = ""


def leaked_rows(
    rows: Iterable[dict[str, Any]],
    replies: Sequence[Reply],
    lines: Sequence[int] | None = None,
) -> list[LeakedRow]:
    """Return the training rows whose personal data is in an answer.

    `rows` are canonical rows, and `lines` their lines in the file (from 1 if not given). A value
    that the prompt contains, or that the base model returns as well, does not count. The values
    themselves are in no result.
    """
    known = KnownValues()
    places: dict[Value, list[int]] = {}
    texts = [(line, text) for line, text in _learned(rows, lines, known)]
    returned = _returned(known, replies)
    if not returned:
        return []
    for line, text in texts:
        for found in known.find(text):
            kept = places.setdefault(found.value, [])
            if line not in kept[-1:] and len(kept) < MAX_LINES_A_VALUE:
                kept.append(line)
    kinds: dict[int, set[str]] = {}
    for value in returned:
        for line in places.get(value, ()):
            kinds.setdefault(line, set()).add(value.kind)
    return [LeakedRow(line=line, kinds=sorted(kinds[line])) for line in sorted(kinds)]


def _learned(
    rows: Iterable[dict[str, Any]], lines: Sequence[int] | None, known: KnownValues
) -> Iterator[tuple[int, str]]:
    """Learn the values of all rows. Yields the texts that may contain any, with their lines."""
    for index, row in enumerate(rows):
        talk = split_row(row)
        said = [turn.text for turn in talk.every_turn]
        pairs = zip(["", *said], said, strict=False)
        texts = [(before, text) for before, text in pairs if may_hold_personal_data(text)]
        languages = languages_of(talk) if texts else []
        for before, text in texts:
            for found in find_personal_data(text, *languages, before=before):
                known.learn(found, text, *languages)
            yield index + 1 if lines is None else lines[index], text


def _returned(known: KnownValues, replies: Sequence[Reply]) -> set[Value]:
    values: set[Value] = set()
    if not known:
        return values
    for reply in replies:
        found = {one.value for one in known.find(reply.answer)}
        if found:
            expected = f"{reply.given}\n{reply.base}"
            values |= found - {one.value for one in known.find(expected)}
    return values


def given_text(messages: Sequence[dict[str, Any]]) -> str:
    """Return all that a prompt says as one text, with the arguments of its tool calls."""
    parts: list[str] = []
    for message in messages:
        parts.append(message.get("content") or "")
        calls = message.get("tool_calls") or ()
        parts += (call["function"]["arguments"] for call in calls)
    return "\n".join(parts)
