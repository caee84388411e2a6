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
