"""Score of a written answer to an item of the general set."""

from __future__ import annotations

import json
import re
from typing import Any

from service.evaluation.general.items import Item
from service.evaluation.general.normalize import contains, folded, plain, trimmed, without_reasoning

MAX_ANSWER_CHARS = 4_000
"""Characters of an answer that are read. All right answers are much shorter."""

_SEPARATORS = re.compile("[,،、，]")
_FENCE = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)


def score(item: Item, text: str) -> float:
    """Return 1.0 if the answer passes the item's check, or else 0.0."""
    text = without_reasoning(text)[:MAX_ANSWER_CHARS]
    match item.check.type:
        case "answer":
            passed = _is_answer(item, folded(text))
        case "whole":
            passed = _whole(text) in map(_whole, item.accepted)
        case "exact":
            passed = trimmed(text) in map(trimmed, item.accepted)
        case "list":
            passed = _entries(text) in map(_entries, item.accepted)
        case "json":
            passed = _value(text) in map(_value, item.accepted)
    return float(passed)


def _is_answer(item: Item, text: str) -> bool:
    if not any(contains(text, folded(answer)) for answer in item.accepted):
        return False
    return not any(contains(text, folded(wrong)) for wrong in item.choices[1:])


def _whole(text: str) -> str:
    return folded(trimmed(text))


def _entries(text: str) -> list[str]:
    return [_whole(entry) for entry in _SEPARATORS.split(trimmed(text))]


def _value(text: str) -> Any:
    """Return the JSON value of a text, with or without a code fence, or None if it is not JSON."""
    fenced = _FENCE.match(text)
    try:
        return _plain_strings(json.loads(fenced.group(1) if fenced else text))
    except (ValueError, RecursionError):
        return None


def _plain_strings(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return [_plain_strings(item) for item in value]
    if isinstance(value, dict):
        return {plain(key): _plain_strings(item) for key, item in value.items()}
    return value
