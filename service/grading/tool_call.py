"""Compares tool calls for `tool_call` graders.

A pair of calls scores 0 if the names differ. Otherwise the name counts like one argument, and the
score is the share of equal ones. Lists are paired greedily, best pairs first, and the sum is
divided by the length of the longer list, so that missing and extra calls cost the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from service.grading.errors import ItemFailed
from service.grading.results import parse_json

MAX_CALLS: Final = 64


@dataclass(frozen=True)
class Call:
    """The name and the arguments of a tool call. Text that is not a JSON object is one argument."""

    name: str
    arguments: dict[str, Any]


class CallsInvalid(ValueError):
    """The text is not a tool call, nor a list of them."""


def parse_calls(text: str) -> list[Call]:
    """Parse one tool call or a list of them, in the shape of chat completions or plain.

    Plain is `{"name": "f", "arguments": {"a": 1}}`. Raises CallsInvalid.
    """
    value = parse_json(text) if text.strip() else []
    entries = value if isinstance(value, list) else [value]
    if len(entries) > MAX_CALLS:
        raise CallsInvalid(f"There are more than {MAX_CALLS} tool calls.")
    return [_parse_call(entry) for entry in entries]


def score(text: str, reference: str) -> float:
    """Return how much of the expected calls was made, from 0 to 1. Raises ItemFailed."""
    try:
        expected = parse_calls(reference)
    except CallsInvalid as error:
        raise ItemFailed("other_error", f"The reference is not a tool call. {error}") from error
    try:
        given = parse_calls(text)
    except CallsInvalid:
        return 0.0
    if not expected or not given:
        return float(not expected and not given)
    pairs = sorted(
        ((_similarity(e, g), i, j) for i, e in enumerate(expected) for j, g in enumerate(given)),
        key=lambda pair: -pair[0],
    )
    total, paired, used = 0.0, set(), set()
    for similarity, i, j in pairs:
        if i not in paired and j not in used:
            total += similarity
            paired.add(i)
            used.add(j)
    return total / max(len(expected), len(given))


def _similarity(expected: Call, given: Call) -> float:
    if expected.name != given.name:
        return 0.0
    names = expected.arguments.keys() | given.arguments.keys()
    common = expected.arguments.keys() & given.arguments.keys()
    equal = sum(_equal(expected.arguments[name], given.arguments[name]) for name in common)
    return (1 + equal) / (1 + len(names))


def _equal(a: Any, b: Any) -> bool:
    """Compare as JSON: 1 equals 1.0 and differs from true, unlike in Python."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b)


def _parse_call(entry: Any) -> Call:
    function = entry.get("function", entry) if isinstance(entry, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise CallsInvalid('Write {"name": "f", "arguments": {}} or a list of such calls.')
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        parsed = parse_json(arguments) if arguments.strip() else {}
        arguments = parsed if isinstance(parsed, dict) else {"": arguments}
    return Call(function["name"], arguments if isinstance(arguments, dict) else {})


_MAX_CHARS: Final = 100_000
_MAX_TRIES: Final = 1000  # each may read to the end, so a text of brackets would take seconds
_ARGUMENTS: Final = ("arguments", "parameters")  # Llama's templates write `parameters`


def find_written_calls(text: str) -> list[dict[str, Any]]:
    """Return the tool calls in a text, in the shape of chat completions; at most `MAX_CALLS`.

    Only the first thousand brackets are tried as the beginning of a call.
    """
    found: list[dict[str, Any]] = []
    decoder, place = json.JSONDecoder(), 0
    text = text[:_MAX_CHARS]
    for _ in range(_MAX_TRIES):
        place = _next(text, place)
        if place < 0 or len(found) >= MAX_CALLS:
            break
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            place += 1
            continue
        calls = [_written_call(one) for one in (value if isinstance(value, list) else [value])]
        known = [call for call in calls if call is not None]
        whole = bool(known) and len(known) == len(calls)
        found += known if whole else []
        place = end if whole else place + 1
    return found[:MAX_CALLS]


def _next(text: str, place: int) -> int:
    """Return the place of the next object or array, or -1."""
    places = [at for at in (text.find("{", place), text.find("[", place)) if at >= 0]
    return min(places, default=-1)


def _written_call(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    function = value.get("function", value)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    for key in _ARGUMENTS:
        arguments = function.get(key)
        if isinstance(arguments, str):
            arguments = parse_json(arguments)
        if isinstance(arguments, dict):
            written = json.dumps(arguments, ensure_ascii=False)
            return {
                "type": "function",
                "function": {"name": function["name"], "arguments": written},
            }
    return None
