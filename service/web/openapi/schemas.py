"""Makes the schemas of the document readable for people and for generators of clients.

pydantic names schemas after classes, and describes what a class accepts. The document has the names
that the API's users know, and describes what is sent: a response may get new fields, and always has
its constants.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from service.web.openapi.names import NAMES

Json = dict[str, Any]
_PREFIX: Final = "#/components/schemas/"
_LIST: Final = re.compile(r"^ListOf_(.+)_$")
_COUNTED_LIST: Final = re.compile(r"^CountedList_(?=.+_$)")
_FORMATS: Final = {"integer": "int64", "number": "double"}
# Keywords whose values are data, not schemas.
_DATA: Final = frozenset({"const", "default", "enum", "example", "examples"})
_MAPS: Final = frozenset({"headers", "properties", "responses", "schemas"})
# Descriptions of fields that say the same in every schema.
_CONSTANTS: Final = {
    "object": "Type of the object. Always `{}`.",
    "type": "Always `{}`.",
    "deleted": "Whether the object was deleted. Always true.",
}


def complete_schemas(document: Json) -> None:
    """Complete the schemas of the document, whose paths and webhooks refer to them."""
    _rename(document)
    schemas: dict[str, Json] = document["components"]["schemas"]
    sent, received = (_reachable(parts, schemas) for parts in _uses(document))
    for name, schema in schemas.items():
        if name in received:
            _allow_additions(schema)
        if name not in sent:
            _require_constants(schema)
    for schema in _schemas([document["paths"], document.get("webhooks"), document["components"]]):
        _complete(schema)
    for name, schema in schemas.items():
        if name.endswith("List"):
            schema.setdefault("description", "A page of objects, in the format of OpenAI's lists.")
        _describe_fields(schema, schemas)


def name_of(schema: str) -> str:
    """Return the name in the document of a schema that pydantic named."""
    schema = _COUNTED_LIST.sub("ListOf_", schema)
    if schema in NAMES:
        return NAMES[schema]
    if found := _LIST.match(schema):
        return f"{name_of(found[1])}List"
    return schema.removesuffix("Object")


def _rename(document: Json) -> None:
    schemas = document["components"]["schemas"]
    names = {name: name_of(name) for name in schemas}
    if len(set(names.values())) < len(names):
        taken = sorted(name for name in names if list(names.values()).count(names[name]) > 1)
        raise ValueError(f"schemas have the same name: {taken}")
    document["components"]["schemas"] = {names[name]: schemas[name] for name in schemas}
    for schema in _schemas(document):
        if (name := str(schema.get("$ref", "")).removeprefix(_PREFIX)) in names:
            schema["$ref"] = _PREFIX + names[name]
        if mapping := schema.get("discriminator", {}).get("mapping"):
            for value, reference in mapping.items():
                mapping[value] = _PREFIX + names[reference.removeprefix(_PREFIX)]


def _uses(document: Json) -> tuple[list[Any], list[Any]]:
    """Return the parts of the document that clients send, and those that they receive."""
    paths, webhooks = document["paths"].values(), document.get("webhooks", {}).values()
    operations = [operation for methods in paths for operation in methods.values()]
    events = [operation for methods in webhooks for operation in methods.values()]
    asked = [[one.get("parameters"), one.get("requestBody")] for one in operations]
    return asked, [
        *(one["responses"] for one in operations),
        *(one["requestBody"] for one in events),
    ]


def _reachable(parts: Any, schemas: Mapping[str, Json]) -> set[str]:
    """Return the names of the schemas to which the parts refer, directly or not."""
    found: set[str] = set()
    rest = [parts]
    while rest:
        for schema in _schemas(rest.pop()):
            name = str(schema.get("$ref", "")).removeprefix(_PREFIX)
            if name in schemas and name not in found:
                found.add(name)
                rest.append(schemas[name])
    return found


def _schemas(part: Any, *, is_map: bool = False) -> Iterator[Json]:
    """Yield all objects in a part of the document, except in data, and maps of names to objects."""
    if isinstance(part, dict):
        if not is_map:
            yield part
        for key, value in part.items():
            if is_map or key not in _DATA:
                yield from _schemas(value, is_map=not is_map and key in _MAPS)
    elif isinstance(part, list):
        for value in part:
            yield from _schemas(value)


def _allow_additions(whole: Json) -> None:
    """Allow fields that later versions may add, also where requests must not have any."""
    for schema in _schemas(whole):
        if schema.get("additionalProperties") is False:
            del schema["additionalProperties"]


def _require_constants(schema: Json) -> None:
    """Require the fields with one possible value, such as `object`, which are always sent."""
    fields = schema.get("properties", {})
    constants = {name for name, field in fields.items() if "const" in field}
    for name in constants:
        fields[name].pop("default", None)
    if required := [name for name in fields if name in {*schema.get("required", ()), *constants}]:
        schema["required"] = required


def _complete(schema: Json) -> None:
    """Remove pydantic's titles, which repeat names, and complete what generators need."""
    if isinstance(schema.get("title"), str):
        del schema["title"]
    if isinstance(kind := schema.get("type"), str) and kind in _FORMATS:
        schema.setdefault("format", _FORMATS[kind])
    if isinstance(schema.get("default", {}), dict | None):
        schema.pop("default", None)  # generated code would have to construct it
    if "const" in schema and "type" not in schema:
        schema["type"] = _type_of(schema["const"])


def _type_of(constant: object) -> str:
    return "boolean" if isinstance(constant, bool) else "string"


def _describe_fields(schema: Json, schemas: Mapping[str, Json]) -> None:
    """Describe fields that have a constant, or whose schema has a description of its own."""
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"])
    for name, field in schema.get("properties", {}).items():
        if field.get("type") == "null":
            del field["type"]  # few languages have a type with this one value
        if "description" in field:
            pass
        elif "const" in field and name in _CONSTANTS:
            field["description"] = _CONSTANTS[name].format(field["const"])
        elif described := _description_of_one(field, schemas):
            field["description"] = described
        if _is_union(field) and "default" in field:
            # Generators write the default as one of the types, without the conversion.
            default = json.dumps(field.pop("default")).strip('"')
            field["description"] = f"{field.get('description', '')} Default: `{default}`.".strip()


def _is_union(field: Json) -> bool:
    """Whether a field has values of several types besides null."""
    options: Sequence[Json] = field.get("anyOf", ())
    return len([option for option in options if option.get("type") != "null"]) > 1


def _description_of_one(field: Json, schemas: Mapping[str, Json]) -> str:
    """Return the first sentence about the schema of a field or of its items, if there is one."""
    options = [*field.get("anyOf", ()), field, field.get("items", {})]
    names = [option["$ref"].removeprefix(_PREFIX) for option in options if "$ref" in option]
    if len(names) != 1:
        return ""
    described = inspect.cleandoc(schemas[names[0]].get("description", ""))
    return re.split(r"(?<=\.)\s", described, maxsplit=1)[0].replace("\n", " ")
