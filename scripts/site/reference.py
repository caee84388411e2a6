"""Generates the API reference pages from openapi.json while the site is built.

An MkDocs hook (`hooks:` in mkdocs.yml). Generates one page per tag, one page for all objects, and
an index, and publishes `openapi.json` alongside them. Nothing is written to `docs/`.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from types_in_words import Schema, cell, default, kind, slug, star

SPEC = Path(__file__).parent.parent.parent / "openapi.json"
FOLDER = "api/reference"
Operations = dict[str, list[tuple[str, str, Schema]]]
_METHODS = ("get", "post", "put", "patch", "delete")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Insert the reference pages at `api/reference` in the navigation."""
    found: list[Any] = [f"{FOLDER}/index.md"]
    found += [{tag: f"{FOLDER}/{slug(tag)}.md"} for tag in operations(_spec())]
    found.append({"Objects": f"{FOLDER}/objects.md"})
    for section in config.nav or []:
        for entries in section.values():
            for entry in entries:
                if isinstance(entry, dict) and "Reference" in entry:
                    entry["Reference"] = found
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference pages and openapi.json itself."""
    for name, text in pages(_spec()).items():
        files.append(File.generated(config, f"{FOLDER}/{name}", content=text))
    files.append(File.generated(config, "openapi.json", abs_src_path=str(SPEC)))
    return files


def _spec() -> Schema:
    """Load openapi.json, with shared responses and parameters inlined."""
    spec: Schema = json.loads(SPEC.read_text("utf-8"))

    def whole(part: Schema) -> Schema:
        if not part.get("$ref", "").startswith("#/components/"):
            return part
        _, _, group, name = part["$ref"].split("/")
        found: Schema = spec["components"][group][name]
        return found

    for methods in spec["paths"].values():
        for method in methods.keys() & set(_METHODS):
            operation = methods[method]
            operation["responses"] = {k: whole(v) for k, v in operation["responses"].items()}
            operation["parameters"] = [whole(p) for p in operation.get("parameters", [])]
    return spec


def pages(spec: Schema) -> dict[str, str]:
    """Return the pages as a map of file name → Markdown."""
    groups, schemas = operations(spec), spec["components"]["schemas"]
    about = {tag["name"]: tag.get("description", "") for tag in spec.get("tags", [])}
    made = {
        f"{slug(tag)}.md": "\n".join(_tag_page(tag, about.get(tag, ""), found, schemas))
        for tag, found in groups.items()
    }
    made["objects.md"] = "\n".join(_objects_page(schemas))
    made["index.md"] = "\n".join(_index_page(spec, groups))
    return made


def operations(spec: Schema) -> Operations:
    """Return tag → (method, path, operation), in the order of the tags in openapi.json."""
    groups: Operations = {tag["name"]: [] for tag in spec.get("tags", [])}
    for path, methods in spec["paths"].items():
        for method in _METHODS:
            if method in methods:
                tag = methods[method].get("tags", ["Other"])[0]
                groups.setdefault(tag, []).append((method, path, methods[method]))
    return {tag: found for tag, found in groups.items() if found}


def _index_page(spec: Schema, groups: Operations) -> Iterator[str]:
    yield "# API reference\n"
    yield f"{spec['info'].get('description', '')}\n"
    yield (
        f"The contract is [openapi.json](../../openapi.json) (OpenAPI {spec['openapi']}, version "
        f"{spec['info']['version']}); every installation serves its own at `/openapi.json`. The "
        "[guide](../guide.md) explains keys, errors, lists and streams.\n"
    )
    for tag, found in groups.items():
        yield f"## [{tag}]({slug(tag)}.md)\n"
        yield "| | path | |\n|---|---|---|"
        for method, path, operation in found:
            link = f"[{operation['summary']}]({slug(tag)}.md#{operation['operationId']})"
            yield f"| {_verb(method)} | `{path}` | {link} |"
        yield ""


def _tag_page(
    tag: str, about: str, found: list[tuple[str, str, Schema]], schemas: Schema
) -> Iterator[str]:
    yield f"# {tag}\n"
    yield f"{about}\n"
    for method, path, operation in found:
        yield f"## {operation['summary']} {{ #{operation['operationId']} }}\n"
        yield f"{_verb(method)} `{path}`\n"
        yield f"{operation.get('description', '')}\n"
        yield from _parameters(operation["parameters"])
        yield from _body(operation.get("requestBody"), schemas)
        yield from _answers(operation["responses"], operation.get("x-error-codes", {}))


def _verb(method: str) -> str:
    return f"`{method.upper()}`{{ .verb .{method} }}"


def _parameters(parameters: list[Schema]) -> Iterator[str]:
    if not parameters:
        return
    yield "| parameter | in | type | |\n|---|---|---|---|"
    for one in parameters:
        schema = one.get("schema", {})
        description = cell(one.get("description") or schema.get("description", ""))
        name = f"`{one['name']}`{star(one.get('required', False))}"
        yield f"| {name} | {one['in']} | {kind(schema)}{default(schema)} | {description} |"
    yield ""


def _body(body: Schema | None, schemas: Schema) -> Iterator[str]:
    for media, content in (body or {}).get("content", {}).items():
        schema = content.get("schema", {})
        yield f"**Body**: {kind(schema)}, `{media}`\n"
        name = schema.get("$ref", "").rsplit("/", 1)[-1]
        yield from _fields(schemas.get(name, schema))
        yield from _examples(content, "Request")


def _answers(responses: dict[str, Schema], codes: dict[str, list[str]]) -> Iterator[str]:
    yield "| answer | body | |\n|---|---|---|"
    for status, answer in responses.items():
        bodies = [
            kind(content.get("schema", {})) + (f" ({media})" if "json" not in media else "")
            for media, content in answer.get("content", {}).items()
        ]
        named = ", ".join(f"`{code}`" for code in codes.get(status, ()))
        description = cell(answer["description"]) + (f" Codes: {named}" if named else "")
        yield f"| {status} | {' or '.join(bodies) or '–'} | {description} |"
    yield ""
    for status, answer in responses.items():
        if status < "400":
            for content in answer.get("content", {}).values():
                yield from _examples(content, f"Answer {status}")


def _examples(content: Schema, title: str) -> Iterator[str]:
    """Yield the examples of a body, each collapsed."""
    for name, example in content.get("examples", {}).items():
        value = example["value"]
        words = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        fenced = f"```{'text' if isinstance(value, str) else 'json'}\n{words.rstrip()}\n```"
        summary = cell(example.get("summary", f"`{name}`")).replace('"', "'")
        yield f'??? example "{title}: {summary}"\n\n{textwrap.indent(fenced, "    ")}\n'


def _objects_page(schemas: dict[str, Schema]) -> Iterator[str]:
    yield "# Objects\n"
    yield "Bodies of requests and answers, by name.\n"
    for name, schema in sorted(schemas.items(), key=lambda item: item[0].lower()):
        yield f"## {name} {{ #{slug(name)} }}\n"
        yield f"{schema.get('description', '').strip()}\n"
        if schema.get("properties"):
            yield from _fields(schema)
        else:
            yield f"{kind(schema)}\n"


def _fields(schema: Schema) -> Iterator[str]:
    if not schema.get("properties"):
        return
    yield "| field | type | |\n|---|---|---|"
    required = schema.get("required", [])
    for name, field in schema["properties"].items():
        description = field.get("description", "") if isinstance(field, dict) else ""
        words = f"{kind(field)}{default(field)}"
        yield f"| `{name}`{star(name in required)} | {words} | {cell(description)} |"
    yield ""
