"""Bounds of the schemas and grammars that constrain an answer.

An engine compiles a constraint before it answers, in a few threads for all callers, and cannot stop
a compilation that it has begun. Its time hardly depends on the size of a constraint: ten texts with
different limits of their lengths took a core 11 s, and `.?` a hundred times 53 s. The bounds follow
what was measured with xgrammar 0.2 (bench/gateway/constraints.py).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from service.core.errors import BadRequest

MAX_BYTES: Final = 64 * 1024
REPETITIONS_COUNTED: Final = 100
"""Length up to which limits of lengths and repetitions count. A longer one takes no longer."""
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


def check_constraint(param: str, value: msgspec.Raw, max_repetitions: int) -> None:
    """Raise BadRequest if a response format or structured outputs take long to compile.

    `max_repetitions` limits the sum of the different limits of lengths and repetitions.
    """
    if memoryview(value):
        _check(param, bytes(value), max_repetitions)


def check_tools(
    tools: msgspec.Raw, choice: msgspec.Raw, max_repetitions: int, *, parallel: bool | None
) -> None:
    """Raise BadRequest if the parameters of tools are compiled, and take long to."""
    if not memoryview(tools):
        return
    if bytes(choice) in _NOT_COMPILED and parallel is not False and b'"strict"' not in bytes(tools):
        return
    _check("tools", bytes(tools), max_repetitions)


def _check(param: str, value: bytes, max_repetitions: int) -> None:
    if len(value) > MAX_BYTES:
        fault = f"at most {MAX_BYTES} bytes are allowed, but it has {len(value)}."
    elif (found := _fault(value, max_repetitions)) is not None:
        fault = found
    else:
        return
    raise BadRequest(f"Invalid '{param}': {fault}", param=param, code="constraint_too_complex")


@functools.lru_cache(_REMEMBERED)
def _fault(value: bytes, max_repetitions: int) -> str | None:
    """Return why a constraint is refused. Programs send the same one with each request."""
    repetitions: set[tuple[object, int]] = set()
    for node in _objects(msgspec.json.decode(value)):
        if (optional := _optional_properties(node)) > MAX_OPTIONAL_PROPERTIES:
            return (
                f"an object may have at most {MAX_OPTIONAL_PROPERTIES} optional properties, but "
                f"one has {optional}. List more of them in 'required'."
            )
        if (rules := len(_rules(node)) - 1) > MAX_RULES:
            return f"a grammar may have at most {MAX_RULES} rules, but it has {rules}."
        repetitions.update(_repetitions(node))
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
    """Yield all objects in a JSON value, and in texts of vLLM's parameters that are JSON."""
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


def _decoded(text: str) -> Any:
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
    """Return the rules of a grammar, after one more element."""
    grammar = node.get("grammar")
    return _RULE.split(_TEXT.sub("x", grammar)) if isinstance(grammar, str) else [""]


def _repetitions(node: Mapping[str, Any]) -> Iterator[tuple[object, int]]:
    """Yield the limits of a text's length, and the repetitions in patterns and grammars, counted.

    What is equal is compiled once: texts with the same limits, and the same patterns.
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

    The rules of a grammar are compiled one by one.
    """
    most = max(sum(map(part.count, "?*+")) for part in parts)
    return most * most // 4


def _whole(value: Any) -> int:
    return int(min(value, 1e9)) if isinstance(value, int | float) and value > 0 else 0
