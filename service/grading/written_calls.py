"""Tool calls that a model wrote as text, for engines and prompts without a parser of tool calls.

Chat templates differ in what they put around a call, such as `<tool_call>…</tool_call>`, but most
write the call itself as JSON with its name and its arguments.
"""

from __future__ import annotations

import json
from typing import Any, Final

from service.grading.samples import parse_json
from service.grading.tool_call import MAX_CALLS

_MAX_CHARS: Final = 100_000
_MAX_TRIES: Final = 1000  # each may read up to the end: a text of brackets would take seconds
_ARGUMENTS: Final = ("arguments", "parameters")  # Llama's templates write `parameters`


def written_calls(text: str) -> list[dict[str, Any]]:
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
        calls = [_call(one) for one in (value if isinstance(value, list) else [value])]
        known = [call for call in calls if call is not None]
        whole = bool(known) and len(known) == len(calls)
        found += known if whole else []
        place = end if whole else place + 1
    return found[:MAX_CALLS]


def _next(text: str, place: int) -> int:
    """Return the place of the next object or array, or -1."""
    places = [at for at in (text.find("{", place), text.find("[", place)) if at >= 0]
    return min(places, default=-1)


def _call(value: Any) -> dict[str, Any] | None:
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
