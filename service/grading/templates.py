"""Renders template variables in graders and prompts: `{{item.a.b}}`, `{{sample.output_text}}`.

    item                 the row of the data source
    sample.output_text   the text of the answer
    sample.output_json   the answer parsed as JSON
    sample.output_tools  the tool calls of the answer
    sample.choices       the choices of a chat completion
    sample.model, sample.finish_reason

A path has field names, which may contain spaces and any letters, and list positions (`a[0]` or
`a.0`). A name in brackets is quoted, and may contain any character: `item["a.b"]`. A value that is
not a string is inserted as JSON. Inserted text is never expanded again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from service.grading.errors import ErrorCode, ItemFailed

NAMESPACES: Final = ("item", "sample")
SAMPLE_FIELDS: Final = (
    "output_text",
    "output_json",
    "output_tools",
    "choices",
    "model",
    "finish_reason",
)
MAX_RENDERED_CHARS: Final = 1_000_000
_VARIABLE: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_SEGMENT: Final = re.compile(
    r"""\.?(?P<name>[^\[\]{}.]+)|\[\s*(?:(?P<place>\d{1,6})|"(?P<key>[^"]+)"|'(?P<single>[^']+)')\s*\]"""
)
_MAX_DEPTH: Final = 16


class TemplateInvalid(ValueError):
    """The template has a syntax error or an unknown variable."""


class VariableMissing(ItemFailed):
    """The item or the sample has no value for a variable of the template."""

    def __init__(self, message: str, code: ErrorCode = "invalid_variable_error") -> None:
        super().__init__(code, message)


@dataclass(frozen=True)
class Variable:
    """A path such as `item.question`. Its first segment is the namespace."""

    path: tuple[str, ...]

    @property
    def namespace(self) -> str:
        """`item` or `sample`."""
        return self.path[0]

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True)
class Template:
    """A parsed text: literal strings and variables in their order."""

    parts: tuple[str | Variable, ...]

    @property
    def variables(self) -> Iterator[Variable]:
        """The variables in their order."""
        return (part for part in self.parts if isinstance(part, Variable))

    def render(self, scope: Mapping[str, Any]) -> str:
        """Insert the values of `scope` (namespace to value). Raises VariableMissing."""
        text = "".join(
            part if isinstance(part, str) else as_text(lookup(part, scope)) for part in self.parts
        )
        if len(text) > MAX_RENDERED_CHARS:
            raise ItemFailed(
                "other_error", f"The rendered text is longer than {MAX_RENDERED_CHARS} characters."
            )
        return text


@lru_cache(maxsize=1024)
def parse_template(text: str) -> Template:
    """Parse a template. Raises TemplateInvalid."""
    parts: list[str | Variable] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        parts += [text[end : found.start()], parse_variable(found[1])]
        end = found.end()
    if "{{" in text[end:]:
        raise TemplateInvalid("A template variable is not closed. Add '}}'.")
    parts.append(text[end:])
    return Template(tuple(part for part in parts if part != ""))


def parse_variable(text: str) -> Variable:
    """Parse a path such as `item.question`. Raises TemplateInvalid."""
    path: list[str] = []
    rest = text.strip()
    while rest:
        found = _SEGMENT.match(rest)
        # A name begins the path or follows a dot; brackets follow a name.
        if found is None or rest.startswith((".", "[")) != bool(path):
            raise TemplateInvalid(f"{_quote(text)} is not a template variable.")
        path.append(found["name"].strip() if found["name"] else found[found.lastgroup or ""])
        rest = rest[found.end() :]
    if not path or not all(path):
        raise TemplateInvalid(f"{_quote(text)} is not a template variable.")
    if path[0] not in NAMESPACES:
        raise TemplateInvalid(
            f"{_quote(text)} is an unknown template variable. Variables start with 'item.' or "
            f"'sample.'."
        )
    if len(path) > _MAX_DEPTH:
        raise TemplateInvalid(f"{_quote(text)} has more than {_MAX_DEPTH} segments.")
    if path[0] == "sample" and (len(path) == 1 or path[1] not in SAMPLE_FIELDS):
        raise TemplateInvalid(
            f"{_quote(text)} is an unknown template variable. Fields of the sample: "
            f"{', '.join(SAMPLE_FIELDS)}."
        )
    return Variable(tuple(path))


def lookup(variable: Variable, scope: Mapping[str, Any]) -> Any:
    """Return the value of a variable. Raises VariableMissing."""
    value: Any = scope
    for segment in variable.path:
        if isinstance(value, Mapping) and segment in value:
            value = value[segment]
        elif isinstance(value, list) and segment.isdecimal() and int(segment) < len(value):
            value = value[int(segment)]
        else:
            raise _missing(variable, scope)
    return value


def as_text(value: Any) -> str:
    """Return a string as it is, and any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def check_variables(
    text: str, item_schema: Mapping[str, Any] | None = None, *, has_sample: bool = True
) -> None:
    """Check a template's syntax and variables. Raises TemplateInvalid.

    `item_schema` is the JSON Schema of the items, or None if it is unknown. `has_sample` is whether
    there is an answer to grade.
    """
    for variable in parse_template(text).variables:
        if variable.namespace == "sample" and not has_sample:
            raise TemplateInvalid(
                f"{_quote(str(variable))} has no value: nothing is sampled. Use 'item.' or set "
                f"include_sample_schema."
            )
        if variable.namespace == "item" and item_schema is not None:
            _check_path(variable, item_schema)


def _check_path(variable: Variable, root: Mapping[str, Any]) -> None:
    nodes = [root]
    for place, segment in enumerate(variable.path[1:], 1):
        nodes = [
            below
            for node in nodes
            for option in _options(node, root)
            if (below := _step(option, segment)) is not None
        ][:_MAX_DEPTH]
        if not nodes:
            parent = ".".join(variable.path[:place])
            raise TemplateInvalid(
                f"{_quote(str(variable))} is an unknown template variable: the schema of {parent} "
                f"has no {segment!r}."
            )


def _options(node: Any, root: Mapping[str, Any], depth: int = 0) -> Iterator[Any]:
    """Yield a schema and those that it combines or refers to within the same document."""
    yield node
    if not isinstance(node, Mapping) or depth >= _MAX_DEPTH:
        return
    reference = node.get("$ref")
    if isinstance(reference, str):
        yield from _options(_resolve(reference, root), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        below = node.get(key)
        for option in below[:_MAX_DEPTH] if isinstance(below, list) else ():
            yield from _options(option, root, depth + 1)


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    node: Any = root if reference.startswith("#") else {}
    for segment in reference.lstrip("#").split("/")[1:]:
        if not isinstance(node, Mapping):
            return {}
        node = node.get(segment.replace("~1", "/").replace("~0", "~"), {})
    return node


def _step(node: Any, segment: str) -> Any:
    """Return the schema of a field or an element; None if the schema allows none."""
    if node is True:
        return {}
    if not isinstance(node, Mapping):
        return None
    allowed = _types(node) or {"object", "array"}
    if segment.isdecimal() and "array" in allowed:
        return node.get("items", {})
    if "object" not in allowed or ("type" not in node and _only_combines(node)):
        return None
    properties = node.get("properties")
    if isinstance(properties, Mapping) and segment in properties:
        return properties[segment]
    # By default, JSON Schema allows further fields. In a template, an unknown field is far more
    # often a typo, so a schema with properties must allow further fields explicitly.
    further = node.get("additionalProperties", not properties)
    return None if further is False else {} if further is True else further


def _types(node: Mapping[str, Any]) -> set[str]:
    types = node.get("type")
    names = types if isinstance(types, list) else [types]
    return {name for name in names if isinstance(name, str)}


def _only_combines(node: Mapping[str, Any]) -> bool:
    return "properties" not in node and any(
        key in node for key in ("$ref", "anyOf", "oneOf", "allOf")
    )


def _missing(variable: Variable, scope: Mapping[str, Any]) -> VariableMissing:
    if variable.namespace == "sample" and variable.path[1] == "output_json" and "sample" in scope:
        if "output_json" in scope["sample"]:
            return VariableMissing(f"The answer's JSON has no value for {_quote(str(variable))}.")
        return VariableMissing("The answer is not JSON.", code="sample_parse_error")
    return VariableMissing(f"There is no value for {_quote(str(variable))}.")


def _quote(text: str) -> str:
    shown = text.strip()
    return "{{" + (shown if len(shown) <= 80 else shown[:77] + "...") + "}}"
