"""Assembles the complete OpenAPI document.

Example requests and responses, and the errors of each operation, are recorded from a running API
(`make openapi-examples`): one file per operation, in `examples/` if recorded from the API alone,
and in `examples/stack/` if recorded from an installation that trains and serves. Each file holds
`parameters` by name, `requestBody` examples by media type, and `responses` examples by status and
media type. A status without a recorded example is not documented.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute

from service.core.errors import (
    Error,
    Forbidden,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from service.web.openapi import parts
from service.web.openapi.schemas import complete_schemas
from service.web.permissions import EXTENSION, PERMISSIONS

_Recorded = dict[str, Any]
_SHARED = "shared"
# Answers of every operation that needs a key. These, the 403 and the 413 go into `components`.
_EVERYWHERE = (Unauthenticated.status, RateLimited.status, Unavailable.status)
_OF_A_JSON_BODY = TooLarge.status
_OF_A_PERMISSION = Forbidden.status


def describe(
    app: FastAPI,
    *,
    schemas: Callable[[], Mapping[str, Any]],
    models: Sequence[type[BaseModel]],
    routes: Sequence[BaseRoute],
    webhooks: Callable[[], Sequence[BaseRoute]],
) -> None:
    """Serve the complete document on `/openapi.json`.

    `schemas` creates the schemas that no pydantic model defines, when the document is requested.
    `models` are those that no route returns as JSON. `routes` describe the operations that bypass
    FastAPI, and `webhooks` the requests that the service sends.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    summary=parts.SUMMARY,
                    description=parts.DESCRIPTION,
                    license_info=parts.LICENSE,
                    servers=parts.SERVERS,
                    tags=parts.TAGS,
                    routes=[*app.routes, *routes],
                    webhooks=webhooks(),
                ),
                schemas(),
                models,
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def dumps(document: Mapping[str, Any]) -> str:
    """Return the document as JSON with one line for each operation and each component."""
    return _dumps(document, levels=3) + "\n"


def _dumps(part: Any, *, levels: int) -> str:
    if levels == 0 or not isinstance(part, dict):
        return json.dumps(part, ensure_ascii=False, separators=(",", ":"))
    lines = (f"{json.dumps(key)}:{_dumps(value, levels=levels - 1)}" for key, value in part.items())
    return "{\n" + ",\n".join(lines) + "\n}"


def _complete(
    document: dict[str, Any], more: Mapping[str, Any], models: Sequence[type[BaseModel]]
) -> dict[str, Any]:
    recorded = _read_examples()
    components = document["components"]
    components["schemas"] = {**_schemas_of([Error, *models]), **components["schemas"]}
    _add_components(components, more, recorded.get(_SHARED, {}))
    complete_schemas(document)
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    for operation in operations:
        _complete_operation(operation, recorded.get(operation["operationId"], {}))
    for methods in document["webhooks"].values():
        _complete_webhook(methods["post"])
    _share_errors(operations, components)
    return document


def _add_components(components: dict[str, Any], more: Mapping[str, Any], shared: _Recorded) -> None:
    schemas = components["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    if both := schemas.keys() & more.keys():
        raise ValueError(f"two schemas have one name: {sorted(both)}")
    schemas |= more
    components["headers"] = parts.HEADERS
    components["securitySchemes"] = {
        "HTTPBearer": parts.SECURITY_SCHEME,
        "Session": parts.SESSION_SCHEME,
    }
    components["responses"] = {}
    for status in (*_EVERYWHERE, _OF_A_JSON_BODY, _OF_A_PERMISSION):
        response = parts.error(status)
        _add_examples(response, shared.get("responses", {}).get(str(status), {}))
        components["responses"][f"Error{status}"] = response


def _schemas_of(models: Sequence[type[BaseModel]]) -> Mapping[str, Any]:
    """Return the schemas of responses with these models, and of those that they contain."""
    _, schemas = models_json_schema(
        [(model, "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    found: Mapping[str, Any] = schemas["$defs"]
    return found


def _complete_operation(operation: dict[str, Any], recorded: _Recorded) -> None:
    for parameter in operation.get("parameters", ()):
        parts.describe_parameter(parameter)
    _add_parameter_examples(operation, recorded)
    if body := operation.get("requestBody"):
        _add_examples(body, recorded.get("requestBody", {}))
    operation.setdefault("security", [])
    if not _is_for_all_roles(operation):
        operation["description"] += f"\n\nRequired permission: `{operation[EXTENSION]}`."
    operation["responses"] = _responses(operation, recorded.get("responses", {}))


def _complete_webhook(operation: dict[str, Any]) -> None:
    for parameter in operation["parameters"]:
        parts.describe_parameter(parameter)
    operation["responses"] = {"default": operation["responses"]["200"]}
    operation["security"] = []


def _share_errors(operations: Sequence[dict[str, Any]], components: dict[str, Any]) -> None:
    """Replace error responses by references, with an example per code in the component.

    `x-error-codes` keeps the codes that an operation answers, by status. A response with headers of
    its own stays with its operation.
    """
    for operation in operations:
        codes: dict[str, list[str]] = {}
        for status, response in operation["responses"].items():
            if status < "400" or "$ref" in response:
                continue
            named = response["content"]["application/json"]["examples"]
            codes[status] = sorted(named)
            reference = f"Error{status}"
            shared = components["responses"].get(reference) or parts.error(int(status))
            if response["headers"] != shared["headers"]:
                continue
            components["responses"][reference] = shared
            known = shared["content"]["application/json"].setdefault("examples", {})
            for code, example in named.items():
                known.setdefault(code, example)
            operation["responses"][status] = {"$ref": f"#/components/responses/{reference}"}
        if codes:
            operation["x-error-codes"] = codes


def _is_for_all_roles(operation: dict[str, Any]) -> bool:
    """Whether an operation needs no key, or a permission that every role has."""
    return EXTENSION not in operation or all(
        operation[EXTENSION] in permissions for permissions in PERMISSIONS.values()
    )


def _responses(operation: dict[str, Any], recorded: _Recorded) -> dict[str, Any]:
    """Responses documented by the route, plus the errors in the recorded examples."""
    found: dict[str, Any] = operation["responses"]
    found.pop("422", None)  # an invalid body answers 400
    if operation["security"]:
        shared = [*_EVERYWHERE]
        if "application/json" in operation.get("requestBody", {}).get("content", {}):
            shared.append(_OF_A_JSON_BODY)
        if not _is_for_all_roles(operation):
            shared.append(_OF_A_PERMISSION)
        for status in shared:
            found.setdefault(str(status), {"$ref": f"#/components/responses/Error{status}"})
    for seen, contents in recorded.items():
        given = found.get(seen, {})
        if "content" not in given:  # undocumented, or a reference
            found[seen] = parts.error(int(seen))
            found[seen]["headers"] |= given.get("headers", {})
        _add_examples(found[seen], contents)
    for response in found.values():
        if "$ref" not in response:
            response["headers"] = {**parts.headers(), **response.get("headers", {})}
            if response["description"] == "Successful Response":  # FastAPI's default
                response["description"] = _description_of(response["content"])
    return dict(sorted(found.items()))


def _description_of(contents: dict[str, Any]) -> str:
    """The description of a response, derived from the name of its schema."""
    schema = next(iter(contents.values()))["schema"]
    name = schema.get("$ref", "").rpartition("/")[2]
    return f"`{name}`." if name else "Plain text."


def _read_examples() -> dict[str, _Recorded]:
    """Return the examples by operationId; `_SHARED` holds the errors that all operations share."""
    folder = files(__package__) / "examples"
    found: dict[str, _Recorded] = {}
    for part in (folder, folder / "stack"):
        for file in _json_files(part):
            examples = found.setdefault(file.name.removesuffix(".json"), {})
            _merge(examples, json.loads(file.read_text("utf-8")))
    return found


def _add_parameter_examples(operation: dict[str, Any], examples: _Recorded) -> None:
    """Set each parameter's example to the value recorded in a request."""
    given = examples.get("parameters", {})
    for parameter in operation.get("parameters", ()):
        name = parameter["name"].lower()
        if name in given and "example" not in parameter:
            is_number = parameter["schema"].get("type") == "integer"  # in paths, they are text
            parameter["example"] = int(given[name]) if is_number else given[name]


def _add_examples(described: dict[str, Any], examples: _Recorded) -> None:
    """Add examples to the contents of a request body or a response, by media type."""
    contents = described.setdefault("content", {})
    for media, named in examples.items():
        if media == parts.STREAM:
            named = {name: _first_event(example) for name, example in named.items()}
        contents.setdefault(media, {})["examples"] = named


def _first_event(stream: _Recorded) -> _Recorded:
    """Return the example of a stream with its first event, since the schema is that of an event."""
    _, _, data = stream["value"].partition("data: ")
    return {**stream, "value": json.loads(data.partition("\n")[0])}


def _json_files(folder: Traversable) -> list[Traversable]:
    if not folder.is_dir():
        return []
    named = [file for file in folder.iterdir() if file.name.endswith(".json")]
    return sorted(named, key=lambda file: file.name)


def _merge(into: _Recorded, more: _Recorded) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict) and "value" not in value:
            _merge(into[key], value)
        else:
            into[key] = value
