"""Limits how long the schemas and grammars of a request may take to compile.

An engine tries each new constraint in a process that it can kill
(inference/engine/constraint_trials.py). What would certainly fail there is rejected here, before it
uses any of an engine's time. The time hardly depends on the size of a constraint: ten strings with
different length limits took a core 11 s, and `.?` a hundred times 53 s. The limits follow
measurements with xgrammar 0.2 (docs/benchmarks.md) and apply to all constraints of a request
together.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from service.core.errors import BadRequest

MAX_BYTES: Final = 64 * 1024
REPETITIONS_COUNTED: Final = 100
"""Repetitions beyond this number do not count, because they take no longer to compile."""
MAX_OPTIONAL_PROPERTIES: Final = 400
MAX_RULES: Final = 200

_REMEMBERED: Final = 64
_REPETITION: Final = re.compile(
    r"\{\s{0,9}(\d{0,20})\s{0,9},?\s{0,9}(\d{0,20})\s{0,9}\}|~\s{0,9}(?:\d{1,20}\s?\.\.\s?)?(\d{1,20})"
)
# Of EBNF and of Lark, after texts and classes have been removed. All matches are of bounded length.
_RULE: Final = re.compile(r"::=|^[ \t]{0,64}[?!]?[a-zA-Z_]\w{0,99}(?:\.\d{1,9})?[ \t]{0,9}:", re.M)
_TEXT: Final = re.compile(r'"(?:[^"\\]|\\.){0,999}"|\[(?:[^\]\[\\]|\\.){0,64}\]')
_PATTERNS: Final = frozenset({"pattern", "regex", "whitespace_pattern"})
_DOCUMENTS: Final = frozenset({"json", "structural_tag"})
_NOT_COMPILED: Final = frozenset({b"", b"null", b'"auto"', b'"none"'})


Constraint = tuple[str, msgspec.Raw]
"""A parameter that constrains the answer, and its value."""


def is_compiled(tools: msgspec.Raw, choice: msgspec.Raw, *, parallel: bool | None) -> bool:
    """Return whether the engine compiles the parameters of these tools."""
    if not memoryview(tools):
        return False
    return bytes(choice) not in _NOT_COMPILED or parallel is False or b'"strict"' in bytes(tools)


def check_constraints(constraints: Sequence[Constraint], max_repetitions: int) -> None:
    """Raise BadRequest if the constraints of an answer take long to compile.

    `max_repetitions` limits the sum of the different limits of lengths and repetitions.
    """
    given = tuple((param, bytes(value)) for param, value in constraints if memoryview(value))
    if not given:
        return
    largest = max(given, key=lambda each: len(each[1]))[0]
    size = sum(len(value) for _, value in given)
    if size > MAX_BYTES:
        fault = f"at most {MAX_BYTES} bytes are allowed, but it has {size}."
    else:
        try:
            found = _fault(tuple(value for _, value in given), max_repetitions)
        except msgspec.DecodeError:  # the syntax was checked with the body's
            raise _out_of_range(given) from None
        if found is None:
            return
        fault = found
    raise BadRequest(f"Invalid '{largest}': {fault}", param=largest, code="constraint_too_complex")


def _out_of_range(given: Sequence[tuple[str, bytes]]) -> BadRequest:
    """Return the error for the first of these values that has a number beyond a double's range."""
    param = next(name for name, value in given if value != b"null" and _decoded(value) is None)
    return BadRequest(
        f"Invalid '{param}': it has a number that is out of range.",
        param=param,
        code="invalid_value",
    )


@functools.lru_cache(_REMEMBERED)
def _fault(values: Sequence[bytes], max_repetitions: int) -> str | None:
    """Return why constraints are refused, or None. Cached: programs repeat their constraints."""
    repetitions: set[tuple[object, int]] = set()
    rules = optional = 0
    for node in _objects([msgspec.json.decode(value) for value in values]):
        optional += _optional_properties(node) ** 2
        rules += len(_rules(node)) - 1
        repetitions.update(_repetitions(node))
    if optional > MAX_OPTIONAL_PROPERTIES**2:
        return (
            f"all optional properties count like {math.isqrt(optional)} of one object, and at most "
            f"{MAX_OPTIONAL_PROPERTIES} are allowed. List more of them in 'required'."
        )
    if rules > MAX_RULES:
        return f"grammars may have at most {MAX_RULES} rules, but there are {rules}."
    total = sum(times for _, times in repetitions)
    if total > max_repetitions:
        return (
            "the engine would take too long to prepare this schema or grammar. Its different "
            "limits of lengths and repetitions, such as 'maxLength' and '{1,80}', each counted up "
            f"to {REPETITIONS_COUNTED}, may add up to {max_repetitions}, but they add up to "
            f"{total}. Use fewer different limits."
        )
    return None


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield all objects in a JSON value, also in strings of vLLM's parameters that contain JSON."""
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack += [element for element in node if isinstance(element, dict | list)]
        elif isinstance(node, dict):
            yield node
            stack += [below for below in node.values() if isinstance(below, dict | list)]
            stack += [
                _decoded(text) for name in _DOCUMENTS if isinstance(text := node.get(name), str)
            ]


def _decoded(text: str | bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None  # the engine refuses it


def _optional_properties(node: Mapping[str, Any]) -> int:
    properties, required = node.get("properties"), node.get("required")
    if not isinstance(properties, dict):
        return 0
    listed = required if isinstance(required, list) else []
    return len(properties.keys() - {name for name in listed if isinstance(name, str)})


def _rules(node: Mapping[str, Any]) -> list[str]:
    """Split a grammar at its rules. The first part is what precedes the first rule."""
    grammar = node.get("grammar")
    return _RULE.split(_TEXT.sub("x", grammar)) if isinstance(grammar, str) else [""]


def _repetitions(node: Mapping[str, Any]) -> Iterator[tuple[object, int]]:
    """Yield length limits and repetitions, each with a key and how much it counts.

    Equal keys are compiled once, such as strings with the same limits, and equal patterns.
    """
    limits = (_whole(node.get("minLength")), _whole(node.get("maxLength")))
    if any(limits):
        yield limits, min(max(limits), REPETITIONS_COUNTED)
    patterns = [node.get(name) for name in _PATTERNS]
    if isinstance(keys := node.get("patternProperties"), dict):
        patterns += keys
    for pattern in patterns:
        if isinstance(pattern, str):
            yield pattern, _charge([pattern])
            yield from _bounded(pattern)
    if isinstance(grammar := node.get("grammar"), str):
        yield grammar, _charge(_rules(node))
        yield from _bounded(grammar)


def _bounded(pattern: str) -> Iterator[tuple[object, int]]:
    """Yield the repetitions with a bound in a pattern or a grammar."""
    for found in _REPETITION.finditer(pattern):
        times = max(int(bound or 0) for bound in found.groups())
        yield (pattern, found.start()), min(times, REPETITIONS_COUNTED)


def _charge(parts: Sequence[str]) -> int:
    """Return the charge for `?`, `*` and `+`. Their time grows with the cube of their number.

    The rules of a grammar are compiled separately, so their charges add up.
    """
    return sum(sum(map(part.count, "?*+")) ** 2 // 4 for part in parts)


def _whole(value: Any) -> int:
    return int(min(value, 1e9)) if isinstance(value, int | float) and value > 0 else 0
