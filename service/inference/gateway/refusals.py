"""Errors about request parameters, in OpenAI's words."""

from __future__ import annotations

from service.core.errors import BadRequest

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
    return BadRequest(
        f"Invalid type for '{name}': expected {TYPE_NAMES.get(expected, expected)}, but got "
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
        f"Invalid '{name}': {kind} {side}imum value. Expected a value {sign} {bound:g}, but got "
        f"{value} instead.",
        param=name,
        code=f"{kind}_{side.replace(' ', '_')}_value",
    )


def too_long(name: str, length: int, most: int, *, kind: str = "array") -> BadRequest:
    """Build the error for an array or an object with too many elements."""
    if kind == "object":
        return BadRequest(
            f"Invalid '{name}': too many properties. Expected an object with at most {most} "
            f"properties, but got an object with {length} properties instead.",
            param=name,
            code="object_above_max_properties",
        )
    return BadRequest(
        f"Invalid '{name}': array too long. Expected an array with maximum length {most}, but got "
        f"an array with length {length} instead.",
        param=name,
        code="array_above_max_length",
    )


def empty(name: str) -> BadRequest:
    """Build the error for an array without elements."""
    return BadRequest(
        f"Invalid '{name}': empty array. Expected an array with minimum length 1, but got an empty "
        "array instead.",
        param=name,
        code="empty_array",
    )


def not_among(name: str, value: str, supported: tuple[str, ...]) -> BadRequest:
    """Build the error for a value that is not one of those supported."""
    listed = ", ".join(f"'{one}'" for one in supported[:-1]) + f", and '{supported[-1]}'"
    return BadRequest(
        f"Invalid value: '{value[:80]}'. Supported values are: {listed}.",
        param=name,
        code="invalid_value",
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
