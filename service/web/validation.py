"""Errors of requests whose fields do not validate, in OpenAI's words instead of pydantic's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from service.core.errors import BadRequest

_WHERE: Final = ("body", "query", "path", "header")
_ABSENT: Final = ("missing", "union_tag_not_found")
_EXPECTED: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), lambda _: "an integer"),
    **dict.fromkeys(("float_type", "float_parsing"), lambda _: "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), lambda _: "a boolean"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), lambda _: "an array"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), lambda _: "an object"),
    "string_type": lambda _: "a string",
    "none_required": lambda _: "null",
    "greater_than_equal": lambda ctx: f"a value >= {_bound(ctx['ge'])}",
    "greater_than": lambda ctx: f"a value > {_bound(ctx['gt'])}",
    "less_than_equal": lambda ctx: f"a value <= {_bound(ctx['le'])}",
    "less_than": lambda ctx: f"a value < {_bound(ctx['lt'])}",
    "literal_error": lambda ctx: ctx["expected"],
    "enum": lambda ctx: ctx["expected"],
    "union_tag_invalid": lambda ctx: f"one of {ctx['expected_tags']}",
    "string_pattern_mismatch": lambda ctx: f"a string that matches {ctx['pattern']}",
    "string_too_short": lambda ctx: f"at least {_count(ctx['min_length'], 'character')}",
    "string_too_long": lambda ctx: f"at most {_count(ctx['max_length'], 'character')}",
    "too_short": lambda ctx: f"at least {_count(ctx['min_length'], 'element')}",
    "too_long": lambda ctx: f"at most {_count(ctx['max_length'], 'element')}",
}


def from_validation(errors: Sequence[Any], body: object = None) -> BadRequest:
    """Convert the first validation error to a BadRequest that names the field as OpenAI does.

    pydantic puts the names of a union's members into the places of errors. They are left out if
    the body of the request is given.
    """
    first, place = errors[0], _place(errors[0], body)
    if first["type"] in _ABSENT:
        return BadRequest(
            f"Missing required parameter: '{place}'.",
            param=place,
            code="missing_required_parameter",
        )
    if first["type"] == "json_invalid":
        return BadRequest("The body is not valid JSON.", code="invalid_json")
    if first["type"] == "extra_forbidden":
        return BadRequest(f"Unknown parameter: '{place}'.", param=place, code="unknown_parameter")
    alike = [error for error in errors if _place(error, body) == place]
    others = len({_place(error, body) for error in errors}) - 1
    more = f" (and {others} more error{'s' * (others > 1)})" if others else ""
    named = f"Invalid value for '{place}'" if place else "Invalid body"
    return BadRequest(f"{named}: {_said(alike)}{more}", param=place or None, code="invalid_value")


def _place(error: Mapping[str, Any], body: object) -> str:
    """Return where an error is: the parts of its place that are in the body."""
    where, *parts = error["loc"] or ("",)
    if where not in _WHERE:
        parts = [where, *parts]
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        parts = [*parts, error["ctx"]["discriminator"].strip("'")]
    if where != "body" or body is None:
        return ".".join(map(str, parts))
    kept, current = [], body
    for number, part in enumerate(parts, 1):
        inside = _inside(current, part)
        if inside is not None:
            (current,) = inside
        elif not (number == len(parts) and error["type"] in _ABSENT):
            continue  # the name of a union's member
        kept.append(part)
    return ".".join(map(str, kept))


def _inside(value: object, part: str | int) -> tuple[object] | None:
    """Return the value at a part of a place, in a tuple, or None if there is none."""
    if isinstance(value, dict) and part in value:
        return (value[part],)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return (value[part],)
    return None


def _said(alike: Sequence[Mapping[str, Any]]) -> str:
    """Return what is wrong with a value, of which no member of a union allows it."""
    first = alike[0]
    if first["type"] not in _EXPECTED:
        return str(first["msg"]).removeprefix("Value error, ")
    expected = [
        _EXPECTED[error["type"]](error.get("ctx", {}))
        for error in alike
        if error["type"] in _EXPECTED
    ]
    return f"expected {' or '.join(dict.fromkeys(expected))}, but got {_got(first)} instead"


def _got(error: Mapping[str, Any]) -> str:
    """Return the value, or what it is: a text could be one of a training file."""
    value, kind = error["input"], error["type"]
    if kind == "union_tag_invalid":
        return "another string"
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case None:
            return "null"
        case str() if kind.startswith(("greater_than", "less_than")):
            return value
        case str() | list() if "too_" in kind:
            return str(len(value))
        case str():
            is_of_right_type = kind in ("literal_error", "enum")
            return "another string" if is_of_right_type or "pattern" in kind else "a string"
        case list():
            return "an array"
    return "an object"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _bound(value: float) -> float:
    """Return a bound as an integer if it is one."""
    return int(value) if value == int(value) else value
