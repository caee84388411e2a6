"""Builds errors about request parameters with OpenAI's messages, and decodes JSON with them.

JSON that does not fit is decoded again to find the value at fault, level by level: only the objects
and arrays on the way to it become Python objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec

from service.core.errors import BadRequest, broken_json

TYPE_NAMES = {
    "bool": "a boolean",
    "int": "an integer",
    "float": "a decimal number",
    "str": "a string",
    "array": "an array",
    "object": "an object",
}
"""Types as msgspec calls them, in OpenAI's words."""


def missing(name: str) -> BadRequest:
    """Build the error for a parameter that is required."""
    return BadRequest(
        f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
    )


def wrong_type(name: str, expected: str, got: str) -> BadRequest:
    """Build the error for a value of another type. Types are msgspec's, or in words."""
    kinds = [TYPE_NAMES.get(kind, kind) for kind in expected.split(" | ") if kind != "null"]
    listed = kinds[0] if len(kinds) == 1 else "one of " + " or ".join(kinds)
    return BadRequest(
        f"Invalid type for '{name}': expected {listed}, but got "
        f"{TYPE_NAMES.get(got, got)} instead.",
        param=name,
        code="invalid_type",
    )


def unknown(name: str) -> BadRequest:
    """Build the error for a parameter that the route does not have."""
    return BadRequest(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def below(name: str, value: float, least: float) -> BadRequest:
    """Build the error for a number that is too small."""
    return out_of_bounds(name, value, ">=", least)


def above(name: str, value: float, most: float) -> BadRequest:
    """Build the error for a number that is too large."""
    return out_of_bounds(name, value, "<=", most)


def out_of_bounds(name: str, value: float, sign: str, bound: float) -> BadRequest:
    """Build the error for a number that is not `>=`, `>`, `<=` or `<` a bound."""
    kind = "integer" if isinstance(value, int) else "decimal"
    side = "below min" if sign.startswith(">") else "above max"
    return BadRequest(
        f"Invalid '{name}': {kind} {side}imum value. Expected a value {sign} {_shown(bound)}, but "
        f"got {_shown(value)} instead.",
        param=name,
        code=f"{kind}_{side.replace(' ', '_')}_value",
    )


def _shown(number: float) -> str:
    return str(number) if isinstance(number, int) else format(number, ".15g")


def out_of_range(name: str) -> BadRequest:
    """Build the error for a number beyond the range of a double."""
    return BadRequest(
        f"Invalid '{name}': number out of range. Expected a number that a 64-bit decimal number "
        "can hold.",
        param=name,
        code="decimal_above_max_value",
    )


def wrong_length(name: str, length: int, sign: str, bound: int, *, kind: str) -> BadRequest:
    """Build the error for a text, an array or an object (`kind`) that is too long or short."""
    if kind == "object":
        return BadRequest(
            f"Invalid '{name}': too many properties. Expected an object with at most {bound} "
            f"properties, but got an object with {length} properties instead.",
            param=name,
            code="object_above_max_properties",
        )
    noun, article = ("array", "an") if kind == "array" else ("string", "a")
    if not length:
        return empty(name, noun)
    fault, limit, side = (
        ("long", "maximum", "above_max")
        if sign.startswith("<")
        else ("short", "minimum", "below_min")
    )
    return BadRequest(
        f"Invalid '{name}': {noun} too {fault}. Expected {article} {noun} with {limit} length "
        f"{bound}, but got {article} {noun} with length {length} instead.",
        param=name,
        code=f"{noun}_{side}_length",
    )


def no_match(name: str, pattern: str) -> BadRequest:
    """Build the error for a text that does not match a pattern."""
    return BadRequest(
        f"Invalid '{name}': string does not match pattern. Expected a string that matches the "
        f"pattern '{pattern}'.",
        param=name,
        code="invalid_value",
    )


def wrong_key(name: str, key: str) -> BadRequest:
    """Build the error for a key that is not a token's number."""
    return BadRequest(
        f"Invalid key in '{name}': {key}. You should only submit non-negative integers.",
        param=name,
        code="invalid_value",
    )


def long_key(name: str, length: int, most: int) -> BadRequest:
    """Build the error for a key of an object that is too long."""
    return BadRequest(
        f"Invalid '{name}': key too long. Expected keys with maximum length {most}, but got a key "
        f"with length {length} instead.",
        param=name,
        code="string_above_max_length",
    )


def empty(name: str, noun: str = "array") -> BadRequest:
    """Build the error for an array without elements, or a string without characters."""
    article = "an" if noun == "array" else "a"
    return BadRequest(
        f"Invalid '{name}': empty {noun}. Expected {article} {noun} with minimum length 1, but got "
        f"an empty {noun} instead.",
        param=name,
        code=f"empty_{noun}",
    )


def not_among(name: str, value: str, supported: tuple[str, ...]) -> BadRequest:
    """Build the error for a value that is not one of those supported."""
    listed = ", ".join(f"'{one}'" for one in supported[:-1]) + f", and '{supported[-1]}'"
    return BadRequest(
        f"Invalid value: '{value[:80]}'. Supported values are: {listed}.",
        param=name,
        code="invalid_value",
    )


def together(name: str, other: str) -> BadRequest:
    """Build the error for two parameters of which a request may have one."""
    return BadRequest(
        f"Setting '{name}' and '{other}' at the same time is not supported.",
        param=name,
        code="invalid_parameter_combination",
    )


def only_with(name: str, other: str) -> BadRequest:
    """Build the error for a parameter that requires another one."""
    return BadRequest(
        f"The '{name}' parameter is only allowed when '{other}' is enabled.",
        param=name,
        code="invalid_value",
    )


def unsupported(name: str, reason: str) -> BadRequest:
    """Build the error for a parameter that this service does not support."""
    return BadRequest(
        f"Unsupported parameter: '{name}' is not supported here. {reason}",
        param=name,
        code="unsupported_parameter",
    )


def too_large_limit(name: str, value: int, most: int) -> BadRequest:
    """Build the error for a limit of output tokens that the model cannot reach."""
    return BadRequest(
        f"{name} is too large: {value}. This model supports at most {most} completion tokens, "
        f"whereas you provided {value}.",
        param=name,
        code="invalid_value",
    )


def context_length_exceeded(param: str, longest: str, length: str) -> BadRequest:
    """Build the error for a prompt that is too long. `length` is a number with its unit."""
    noun = "messages" if param == "messages" else param
    return BadRequest(
        f"This model's maximum context length is {longest} tokens. However, your {noun} resulted "
        f"in {length}. Please reduce the length of the {noun}.",
        param=param,
        code="context_length_exceeded",
    )


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
        return unknown(_below(place, "." + found[1][:_MAX_SHOWN_CHARS]))
    at = _AT.search(reason)
    path = at["path"] if at else ""
    name = _below(place, path)
    if (found := _MISSING.match(reason)) is not None:
        return missing(_below(name, "." + found[1]))
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
        return wrong_type(name, expected, got)
    if (found := _PATTERN.match(reason)) is not None:
        return no_match(name, found[1].replace("\\\\", "\\"))
    if reason.startswith(_OUT_OF_RANGE):
        return out_of_range(name.partition("[...]")[0])
    if (found := _BOUND.match(reason)) is None:
        return BadRequest(f"Invalid value for '{name}'.", param=name, code="invalid_value")
    sign, bound = found["sign"], float(found["bound"])
    if found["length"]:
        name, given = _culprit(name, value, path, lambda given: not _is(len(given), sign, bound))
        if _is(len(given), sign, bound):
            return _twice(name)
        return wrong_length(name, len(given), sign, int(bound), kind=found[1])
    name, given = _culprit(name, value, path, lambda given: not _is(given, sign, bound))
    if _is(given, sign, bound):
        return _twice(name)
    if found[1] == "float":
        return out_of_bounds(name, float(given), sign, bound)
    return out_of_bounds(name, given, sign, int(found["bound"]))


def _invalid_key(reason: str, name: str, entries: Any) -> BadRequest:
    if (found := _PATTERN.match(reason)) is not None:
        key = next(key for key in entries if re.search(found[1], key) is None)
        return wrong_key(name, key[:_MAX_SHOWN_CHARS])
    found = _BOUND.match(reason)
    return long_key(name, max(map(len, entries)), int(found["bound"]) if found else 0)


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
