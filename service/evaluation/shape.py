"""The shape of a data set's answers: labels, JSON, tool calls, or text, and their language."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from service.datasets.text.languages import UNKNOWN, detect
from service.evaluation.examples import Example
from service.grading.label import normalize_label

Kind = Literal["label", "json", "tool_call", "text"]

MAX_LABELS: Final = 128
MAX_LABEL_CHARS: Final = 60
_ROWS_A_LABEL = 3  # on average, so that a set of different answers is no label set
_LEAST_ROWS = 6
_NEARLY_ALL = 0.95
_MAJORITY = 0.5
_DOMINANT = 0.9


class Shape(NamedTuple):
    """What the answers of a data set look like.

    `labels` are all different answers, as most often written, if `kind` is "label". `keys` are the
    keys that nearly all answers have, if they are JSON objects. `language` is the code of the
    language of at least nine in ten answers whose language is known, or None. `tool_share` is the
    share of answers that call a tool.
    """

    kind: Kind
    labels: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    language: str | None = None
    tool_share: float = 0.0


def shape_of(examples: Sequence[Example]) -> Shape:
    """Return the shape of the answers of examples, which may be empty."""
    if not examples:
        return Shape("text")
    tool_share = sum(bool(example.tool_calls) for example in examples) / len(examples)
    answers = [example.answer for example in examples if not example.tool_calls]
    language = dominant_language(answers)
    if tool_share >= _MAJORITY:
        return Shape("tool_call", language=language, tool_share=tool_share)
    values = [value for value in map(json_value, answers) if value is not None]
    if values and len(values) >= _NEARLY_ALL * len(answers):
        return Shape("json", keys=_common_keys(values), tool_share=tool_share)
    if labels := label_set(answers):
        return Shape("label", labels=labels, tool_share=tool_share)
    return Shape("text", language=language, tool_share=tool_share)


def label_set(answers: Sequence[str]) -> tuple[str, ...]:
    """Return the labels, sorted, if all answers are short and from a small set; else nothing.

    Answers that a `label` grader takes for equal are one label, in its most frequent spelling.
    """
    if len(answers) < _LEAST_ROWS:
        return ()
    spellings: dict[str, Counter[str]] = {}
    for answer in answers:
        written = answer.strip()
        key = normalize_label(written)
        if not key or len(written) > MAX_LABEL_CHARS or "\n" in written:
            return ()
        spellings.setdefault(key, Counter())[written] += 1
        if len(spellings) > min(MAX_LABELS, len(answers) // _ROWS_A_LABEL):
            return ()
    return tuple(sorted(counts.most_common(1)[0][0] for counts in spellings.values()))


def json_value(text: str) -> dict[str, Any] | list[Any] | None:
    """Return the JSON object or array that a text consists of, or None if it is neither."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def dominant_language(texts: Sequence[str]) -> str | None:
    """Return the language of at least nine in ten texts, of those whose language is known.

    None if there is no such language, or if the language of most texts is unknown.
    """
    counts = Counter(detect(text).code for text in texts if text.strip())
    total = sum(counts.values())
    unknown = counts.pop(UNKNOWN, 0)
    if not counts or unknown > _MAJORITY * total:
        return None
    language, count = counts.most_common(1)[0]
    return language if count >= _DOMINANT * (total - unknown) else None


def _common_keys(values: Sequence[Any]) -> tuple[str, ...]:
    """Return the keys of nearly all values, in their usual order."""
    if not all(isinstance(value, dict) for value in values):
        return ()
    counts = Counter(key for value in values for key in value)
    return tuple(key for key, count in counts.items() if count >= _NEARLY_ALL * len(values))
