"""Parsing of JSON with unknown structure, within limits and with readable errors."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from service.datasets.checks.issues import Issue, make_issue
from service.datasets.limits import MAX_CONTAINERS, MAX_NESTING

_decode = msgspec.json.Decoder().decode
# An unclosed string extends to the end of the line: backtracking to the next quote would be
# quadratic.
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
_AT_BYTE = re.compile(r"\(byte (\d+)\)")
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_SURROGATE = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))
_KINDS = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    type(None): "null",
}


def kind_of(value: object) -> str:
    """Return the JSON name of a value's type."""
    return _KINDS.get(type(value), "number")


def exceeded_limit(line: bytes) -> Issue | None:
    """Return an issue if a line is nested too deeply or has too many containers, or None.

    Only brackets outside strings count. Invalid JSON is left to the parser.
    """
    if line.count(b"{") + line.count(b"[") <= MAX_NESTING:
        return None
    depth = deepest = containers = 0
    for token in _TOKENS.finditer(line):
        first = line[token.start()]
        if first in b"[{":
            depth += 1
            containers += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    if deepest > MAX_NESTING:
        return make_issue("nesting_too_deep", limit=MAX_NESTING)
    if containers > MAX_CONTAINERS:
        return make_issue("too_many_values", limit=MAX_CONTAINERS)
    return None


def parse(line: bytes) -> tuple[Any, Issue | None]:
    """Parse a line and return (value, None), or (None, issue) if it is invalid."""
    if issue := exceeded_limit(line):
        return None, issue
    try:
        return _decode(line), None
    except UnicodeDecodeError:
        return None, _utf8_issue(line)
    except RecursionError:
        return None, make_issue("nesting_too_deep", limit=MAX_NESTING)
    except msgspec.DecodeError as error:
        return None, _json_issue(line, str(error))


def _utf8_issue(line: bytes) -> Issue:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return make_issue("invalid_utf8", at=error.start + 1)
    return make_issue("invalid_json", reason="a string is not Unicode")


def _json_issue(line: bytes, reason: str) -> Issue:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return make_issue("invalid_utf8", at=error.start + 1)
    if "surrogate" in reason or _LONE_SURROGATE.search(line):
        return make_issue("lone_surrogate")
    found = _AT_BYTE.search(reason)
    at = int(found.group(1)) if found else len(line)
    if "truncated" in reason or at >= len(line):
        reason = "it ends before the object does"
    elif "trailing" in reason:
        reason = f"something follows the object, at byte {at + 1}"
    elif line[at] < 0x20:
        reason = f"an unescaped control character at byte {at + 1}"
    elif "out of range" in reason:
        reason = "a number is too large"
    else:
        reason = f"an unexpected character at byte {at + 1}"
    return make_issue("invalid_json", reason=reason)
