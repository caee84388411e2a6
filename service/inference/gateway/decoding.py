"""Decoding of JSON into the types of requests, with errors in OpenAI's words instead of msgspec's.

JSON that does not fit is decoded again to find the value at fault, level by level: only the objects
and arrays on the way to it become Python objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec

from service.core.errors import BadRequest, broken_json
from service.inference.gateway import refusals

T = TypeVar("T")

_AT: Final = re.compile(r" - at (?P<key>`key` in )?`\$(?P<path>[^`]*)`$")
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])")
_MISMATCH: Final = re.compile(r"Expected `([^`]+)`, got `(\w+)`")
_MISSING: Final = re.compile(r"Object missing required field `(\w+)`")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_BOUND: Final = re.compile(
    r"Expected `(\w+)` (?P<length>of length )?(?P<sign>[<>]=?) (?P<bound>\S+)"
)
_PATTERN: Final = re.compile(r"Expected `str` matching regex '(.*)'")
_OUT_OF_RANGE: Final = "Number out of range"
_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_MAX_SHOWN_CHARS: Final = 80
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])

_Test = Callable[[Any], bool]


def decoded(decoder: msgspec.json.Decoder[T], value: bytes | msgspec.Raw, place: str = "") -> T:
    """Decode a JSON value, which is at a place in the body. Raises BadRequest."""
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as e:
        raise _invalid(str(e), bytes(value), place) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as e:
        raise not_json(e, bytes(value)) from None


def not_json(error: Exception, body: bytes) -> BadRequest:
    """Return the error of a body that is not JSON."""
    if isinstance(error, UnicodeDecodeError):
        return broken_json(body, error.start)
    if (found := _BYTE.search(str(error))) is not None:
        return broken_json(body, int(found[1]))
    if isinstance(error, RecursionError) or body.endswith((b"}", b"]")):  # half of a character
        return BadRequest(
            "The body is not valid JSON: check its escapes ('\\u') and its nesting.",
            code="invalid_json",
        )
    return broken_json(body, None)


def json_type(value: object) -> str:
    """Return the type of a decoded value, as msgspec calls it."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "object"
    return "array" if isinstance(value, list) else type(value).__name__


def _invalid(reason: str, value: bytes, place: str) -> BadRequest:
    """Return the error for a reason of msgspec."""
    if (found := _UNKNOWN.fullmatch(reason)) is not None:
        return refusals.unknown(_below(place, "." + found[1][:_MAX_SHOWN_CHARS]))
    at = _AT.search(reason)
    path = at["path"] if at else ""
    name = _below(place, path)
    if (found := _MISSING.match(reason)) is not None:
        return refusals.missing(_below(name, "." + found[1]))
    if not name:
        return BadRequest("The body must be a JSON object.", code="invalid_json")
    try:
        if at and at["key"]:
            return _invalid_key(reason, name, _at(value, path))
        return _invalid_value(reason, name, value, path)
    except msgspec.ValidationError:
        return _twice(name)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as e:  # wrong JSON follows
        return not_json(e, value)
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration):
        return _twice(name)  # the later value has another form


def _twice(name: str) -> BadRequest:
    """Return the error of a value that a later, right one of the same name replaces."""
    name = name.partition("[")[0]
    return BadRequest(
        f"'{name}' is in the body twice. Send it once.", param=name, code="invalid_value"
    )


def _invalid_value(reason: str, name: str, value: bytes, path: str) -> BadRequest:
    if (found := _MISMATCH.match(reason)) is not None:
        expected, got = found.groups()
        if path.endswith("[...]"):
            name, _ = _culprit(name, value, path, lambda given: json_type(given) == got)
        return refusals.wrong_type(name, expected, got)
    if (found := _PATTERN.match(reason)) is not None:
        return refusals.no_match(name, found[1].replace("\\\\", "\\"))
    if reason.startswith(_OUT_OF_RANGE):
        return refusals.out_of_range(name.partition("[...]")[0])
    if (found := _BOUND.match(reason)) is None:
        return BadRequest(f"Invalid value for '{name}'.", param=name, code="invalid_value")
    sign, bound = found["sign"], float(found["bound"])
    if found["length"]:
        name, given = _culprit(name, value, path, lambda given: not _is(len(given), sign, bound))
        if _is(len(given), sign, bound):
            return _twice(name)
        return refusals.wrong_length(name, len(given), sign, int(bound), kind=found[1])
    name, given = _culprit(name, value, path, lambda given: not _is(given, sign, bound))
    if _is(given, sign, bound):
        return _twice(name)
    if found[1] == "float":
        return refusals.out_of_bounds(name, float(given), sign, bound)
    return refusals.out_of_bounds(name, given, sign, int(found["bound"]))


def _invalid_key(reason: str, name: str, entries: Any) -> BadRequest:
    if (found := _PATTERN.match(reason)) is not None:
        key = next(key for key in entries if re.search(found[1], key) is None)
        return refusals.wrong_key(name, key[:_MAX_SHOWN_CHARS])
    found = _BOUND.match(reason)
    return refusals.long_key(name, max(map(len, entries)), int(found["bound"]) if found else 0)


def _is(number: float, sign: str, bound: float) -> bool:
    if sign.startswith(">"):
        return number > bound or (number == bound and sign == ">=")
    return number < bound or (number == bound and sign == "<=")


def _culprit(name: str, value: bytes, path: str, is_wrong: _Test) -> tuple[str, Any]:
    """Return the name and the value at a path, which may be any value of an object."""
    found = _at(value, path)
    if not path.endswith("[...]"):
        return name, found
    entries: Mapping[str, Any] = found
    key = next(key for key, given in entries.items() if is_wrong(given))
    return f"{name.removesuffix('[...]')}.{key[:_MAX_SHOWN_CHARS]}", entries[key]


def _at(value: bytes, path: str) -> Any:
    """Return the value at a path, or the object that has it if the path ends in `[...]`."""
    for step in _steps(path):
        if step == "[...]":
            break
        at: msgspec.Raw = (
            _ARRAY.decode(value)[step] if isinstance(step, int) else _OBJECT.decode(value)[step]
        )
        value = bytes(at)
    return msgspec.json.decode(value)


def _steps(path: str) -> Iterator[str | int]:
    for key, index, any_key in _STEP.findall(path):
        yield int(index) if index else key or any_key


def _below(place: str, path: str) -> str:
    return (place + path).removeprefix(".")
