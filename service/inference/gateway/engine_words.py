"""OpenAI's words for what the engine refuses in its own.

vLLM's messages name its options, its Python types and pydantic's rules. They are matched by their
form; what is not recognized keeps vLLM's message.
"""

from __future__ import annotations

import re
from typing import Final

from service.core.errors import BadRequest
from service.inference.gateway import refusals

_PARAM_OF_PROMPT: Final = {
    "/v1/chat/completions": "messages",
    "/v1/completions": "prompt",
}
_TOO_LONG: Final = (
    re.compile(
        r"maximum context length is (?P<longest>\d+) tokens\. However, your prompt contains "
        r"(?P<length>(?:at least )?\d+ (?:input tokens|characters))"
    ),
    re.compile(r"engine prompt length (?P<length>\d+) exceeds the max_model_len (?P<longest>\d+)"),
    re.compile(
        r"Input length \((?P<length>\d+)\) exceeds model's maximum context length "
        r"\((?P<longest>\d+)\)"
    ),
)
_OUTPUT_TOO_LONG: Final = re.compile(
    r"(?P<name>max_\w+)=(?P<value>\d+) cannot be greater than max_model_len=(?P<most>\d+)"
)
_VALIDATION: Final = re.compile(r"\d+ validation errors?:\n")
_FIRST: Final = re.compile(
    r"\{'type': '(?P<kind>\w+)', 'loc': '(?P<place>[^']*)', 'msg': (?P<rest>.*)"
)
_INPUT: Final = re.compile(r"'input': (?P<value>'(?:[^'\\]|\\.)*'|<\w+ of|None|True|False|[-\d.]+)")
_SAYS: Final = re.compile(r"""(?P<quote>['"])(?:Value error, )?(?P<text>.*?)(?P=quote), 'input'""")
_EXPECTED: Final = re.compile(r"'expected': (?P<quote>['\"])(?P<text>.*?)(?P=quote)\}")
_UNION_MEMBER: Final = re.compile(r"\.[A-Z]\w*")
_INDEX: Final = re.compile(r"\.(\d+)")
_TYPES: Final = {
    "string": "str",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "list": "array",
    "iterable": "array",
    "dict": "object",
    "model": "object",
}
_NO_SCHEMA: Final = "'json_schema' field must be provided"


def in_openais_words(message: str, path: str) -> BadRequest | None:
    """Return the error for a message of the engine, or None if its form is not known."""
    if _NO_SCHEMA in message:
        return refusals.missing("response_format.json_schema")
    return _length(message, path) or _validation(message)


def _length(message: str, path: str) -> BadRequest | None:
    for pattern in _TOO_LONG:
        if (found := pattern.search(message)) is not None:
            length = found["length"].replace("input tokens", "tokens")
            unit = "" if length.endswith(("tokens", "characters")) else " tokens"
            param = _PARAM_OF_PROMPT.get(path, "input")
            return refusals.context_length_exceeded(param, found["longest"], length + unit)
    if (found := _OUTPUT_TOO_LONG.search(message)) is not None:
        return refusals.too_large_limit(found["name"], int(found["value"]), int(found["most"]))
    return None


def _validation(message: str) -> BadRequest | None:
    """Convert the first of pydantic's errors, which vLLM writes as a Python dictionary."""
    if _VALIDATION.match(message) is None or (found := _FIRST.search(message)) is None:
        return None
    name = _name(found["place"])
    kind, rest = found["kind"], found["rest"]
    if kind == "missing":
        return refusals.missing(name)
    stem = kind.removesuffix("_type").removesuffix("_parsing").removesuffix("_from_float")
    if stem in _TYPES:
        return refusals.wrong_type(name, _TYPES[stem], _type_of_input(rest))
    if kind in ("literal_error", "enum") and (expected := _EXPECTED.search(rest)) is not None:
        return BadRequest(
            f"Invalid value for '{name}'. Supported values are: {expected['text']}.",
            param=name,
            code="invalid_value",
        )
    if (says := _SAYS.match(rest)) is None:
        return BadRequest(f"Invalid value for '{name}'.", param=name, code="invalid_value")
    return BadRequest(f"Invalid '{name}': {says['text']}", param=name, code="invalid_value")


def _name(place: str) -> str:
    """Return a parameter as OpenAI names it: `messages[0].role`."""
    bare = _UNION_MEMBER.sub("", place.removeprefix("body").removeprefix("."))
    return _INDEX.sub(r"[\1]", bare) or "body"


def _type_of_input(rest: str) -> str:
    if (found := _INPUT.search(rest)) is None:
        return "another type"
    value = found["value"]
    if value.startswith("<"):
        return {"<list of": "array", "<dict of": "object"}.get(value, "another type")
    # Numbers are quoted as well, so a text of digits is taken for one.
    plain = value.strip("'")
    if plain in ("None", "True", "False"):
        return "null" if plain == "None" else "bool"
    if re.fullmatch(r"-?\d+", plain):
        return "int"
    return "float" if re.fullmatch(r"-?\d+\.\d+(e[+-]?\d+)?", plain) else "str"
