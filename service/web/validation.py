"""Converts validation errors of pydantic to errors that are worded like OpenAI's."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from service.core.errors import BadRequest, broken_json

_WHERE: Final = ("body", "query", "path", "header")
_CURSORS: Final = {("query", name) for name in ("after", "before", "page")}
_MEMBER: Final = re.compile(r"<[\w.]+: ('[^']*')>")  # of an enumeration
_TAGS: Final = ("type", "role")
_PLURALS: Final = {"property": "properties"}
_MAX_SHOWN_CHARS: Final = 80
_ABSENT: Final = ("missing", "union_tag_not_found")
_Context = Mapping[str, Any]
_TYPES: Final[Mapping[str, Callable[[_Context], str]]] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), lambda _: "an integer"),
    **dict.fromkeys(("float_type", "float_parsing"), lambda _: "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), lambda _: "a boolean"),
    **dict.fromkeys(
        ("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"),
        lambda _: "an array",
    ),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"),
        lambda _: "an object",
    ),
    **dict.fromkeys(("string_type", "bytes_type", "invalid_key"), lambda _: "a string"),
    "none_required": lambda _: "null",
}
"""What pydantic's errors about a value's type expect."""
_EXPECTED: Final[Mapping[str, Callable[[_Context], str]]] = {
    **_TYPES,
    "greater_than_equal": lambda ctx: f"a value >= {_bound(ctx['ge'])}",
    "greater_than": lambda ctx: f"a value > {_bound(ctx['gt'])}",
    "less_than_equal": lambda ctx: f"a value <= {_bound(ctx['le'])}",
    "less_than": lambda ctx: f"a value < {_bound(ctx['lt'])}",
    "multiple_of": lambda ctx: f"a multiple of {_bound(ctx['multiple_of'])}",
    "finite_number": lambda _: "a finite number",
    "int_parsing_size": lambda _: "an integer with fewer digits",
    "string_unicode": lambda _: "a string of valid Unicode",
    "literal_error": lambda ctx: _MEMBER.sub(r"\1", ctx["expected"]),
    "enum": lambda ctx: _MEMBER.sub(r"\1", ctx["expected"]),
    "union_tag_invalid": lambda ctx: f"one of {ctx['expected_tags']}",
    "string_pattern_mismatch": lambda ctx: f"a string that matches {ctx['pattern']}",
    "string_too_short": lambda ctx: f"at least {_count(ctx['min_length'], 'character')}",
    "string_too_long": lambda ctx: f"at most {_count(ctx['max_length'], 'character')}",
    "too_short": lambda ctx: f"at least {_count(ctx['min_length'], 'element')}",
    "too_long": lambda ctx: f"at most {_count(ctx['max_length'], _element(ctx))}",
}
OWN_WORDS: Final = frozenset({"value_error", "assertion_error"})
"""Errors of this service's validators."""
_Key = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_Value = Annotated[str, StringConstraints(max_length=512)]
Metadata = Annotated[dict[_Key, _Value], Field(max_length=16)]


def from_validation(errors: Sequence[Any], body: object = None) -> BadRequest:
    """Convert the first validation error to a BadRequest that names the field as OpenAI does.

    pydantic puts the names of union members into the locations of errors. They are removed if the
    request body is passed.
    """
    if errors[0]["type"] == "json_invalid":
        return _broken_json(errors[0], body)
    errors = _errors_of_intended_member(errors, body)
    first, place = errors[0], _place(errors[0], body)
    if first["type"] in _ABSENT and not place:
        return BadRequest("The request needs a JSON object as its body.", code="invalid_json")
    if first["type"] in _ABSENT:
        return BadRequest(
            f"Missing required parameter: '{place}'.",
            param=place,
            code="missing_required_parameter",
        )
    if first["type"] == "extra_forbidden":
        return BadRequest(f"Unknown parameter: '{place}'.", param=place, code="unknown_parameter")
    alike = [error for error in errors if _place(error, body) == place]
    others = len({_place(error, body) for error in errors}) - 1
    more = f" (and {others} more error{'s' * (others > 1)})" if others else ""
    is_cursor = tuple(first["loc"][:2]) in _CURSORS
    is_type = all(error["type"] in _TYPES for error in alike)
    named = f"Invalid {'type' if is_type else 'value'} for '{place}'" if place else "Invalid body"
    return BadRequest(
        f"{named}: {_describe(alike)}{more}",
        param=place or None,
        code="invalid_cursor" if is_cursor else "invalid_type" if is_type else "invalid_value",
    )


def _broken_json(error: Mapping[str, Any], body: object) -> BadRequest:
    *_, at = error["loc"]
    if isinstance(body, str) and isinstance(at, int):
        before = body[:at].encode(errors="replace")
        return broken_json(before, len(before) if body[at:].strip() else None)
    return BadRequest("The value is not valid JSON.", code="invalid_json")


def _errors_of_intended_member(errors: Sequence[Any], body: object) -> Sequence[Any]:
    """Remove the errors of union members that the value was not intended to be.

    These are members of another type, if another member has errors inside the value, and members
    with another `type` or `role`, if that of another member matches.
    """
    places = [_place(error, body) for error in errors]
    kept = [
        error
        for error, place in zip(errors, places, strict=True)
        if error["type"] not in _TYPES or not any(p.startswith(f"{place}.") for p in places)
    ]
    wrong_tags = [e for e in kept if e["type"] == "literal_error" and e["loc"][-1] in _TAGS]
    others = {_member(error) for error in wrong_tags}
    meant = [error for error in kept if not any(_is_in(error, other) for other in others)]
    return meant or wrong_tags or kept


def _member(error: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Return the location of the object of an error's field, including the union member."""
    return tuple(error["loc"][:-1])


def _is_in(error: Mapping[str, Any], member: tuple[str | int, ...]) -> bool:
    return tuple(error["loc"][: len(member)]) == member


def _place(error: Mapping[str, Any], body: object) -> str:
    """Return the location of an error, without names of union members."""
    where, *parts = error["loc"] or ("",)
    if where not in _WHERE:
        parts = [where, *parts]
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        parts = [*parts, error["ctx"]["discriminator"].strip("'")]
    if where != "body" or body is None:
        return ".".join(map(str, parts))
    kept, current = [], body
    for number, part in enumerate(parts, 1):
        inside = inside_of(current, part)
        if inside is not None:
            (current,) = inside
        elif not (number == len(parts) and error["type"] in _ABSENT):
            continue  # the name of a union's member
        kept.append(part)
    return ".".join(map(str, kept))


def inside_of(value: object, part: str | int) -> tuple[object] | None:
    """Return the value at a part of a location, in a tuple, or None if there is none."""
    if isinstance(value, dict) and part in value:
        return (value[part],)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return (value[part],)
    return None


def _describe(alike: Sequence[Mapping[str, Any]]) -> str:
    """Describe why a value is invalid, by the errors of all members of a union."""
    first = alike[0]
    if first["type"] in OWN_WORDS:
        return str(first["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if first["type"] not in _EXPECTED:
        return "its form is not allowed here"
    expected = [
        _EXPECTED[error["type"]](error.get("ctx", {}))
        for error in alike
        if error["type"] in _EXPECTED
    ]
    return f"expected {' or '.join(dict.fromkeys(expected))}, but got {_got(first)} instead"


def _got(error: Mapping[str, Any]) -> str:
    """Return the value or its type. Strings are not repeated: they may be training data."""
    value, kind = error["input"], error["type"]
    if kind == "union_tag_invalid":
        return "another string"
    match value:
        case bool():
            return str(value).lower()
        case float() if not math.isfinite(value):
            return "a number out of range"
        case int() | float():
            return str(value)[:_MAX_SHOWN_CHARS]
        case None:
            return "null"
        case str() if kind.startswith(("greater_than", "less_than")):
            return value
        case str() | list() | dict() if "too_" in kind:
            return str(len(value))
        case str():
            is_of_right_type = kind in ("literal_error", "enum")
            return "another string" if is_of_right_type or "pattern" in kind else "a string"
        case list():
            return "an array"
    return "an object"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else _PLURALS.get(noun, noun + 's')}"


def _element(ctx: _Context) -> str:
    return "property" if ctx.get("field_type") == "Dictionary" else "element"


def _bound(value: float) -> float:
    """Return a bound as an integer if it is one."""
    return int(value) if value == int(value) else value
