"""Generates the client's types from openapi.json: `make clients`.

    python clients/python/scripts/generate_types.py [--check]

Only shapes are copied. The server enforces limits (lengths, ranges, patterns) and additional
properties, so that a client does not reject what a newer server allows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CLIENT = Path(__file__).parent.parent
OPENAPI = CLIENT.parent.parent / "openapi.json"
TYPES = CLIENT / "src" / "finetuned" / "types.py"
_LIMITS = frozenset(
    {
        "discriminator",  # pydantic forbids it with the validator of `Model`
        "examples",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "pattern",
        "propertyNames",
    }
)
_HEAD = '"""API objects, generated from openapi.json by `make clients`. Do not edit."""\n\n'


def main() -> int:
    """Write the types, or check whether they are up to date."""
    source = generate(json.loads(OPENAPI.read_text("utf-8")))
    if "--check" not in sys.argv[1:]:
        TYPES.write_text(source, "utf-8")
        return 0
    if TYPES.exists() and TYPES.read_text("utf-8") == source:
        return 0
    print(f"{TYPES.name} does not match openapi.json: run `make clients`", file=sys.stderr)
    return 1


def generate(openapi: dict[str, Any]) -> str:
    """Return the source of the types module."""
    schemas = {
        name: shape(schema)
        for name, schema in openapi["components"]["schemas"].items()
        if not name.startswith("ListOf")  # the client has one generic type for all lists
    }
    document = {
        "openapi": openapi["openapi"],
        "info": openapi["info"],
        "paths": {},
        "components": {"schemas": schemas},
    }
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "openapi.json", Path(folder) / "types.py"
        source.write_text(json.dumps(document), "utf-8")
        _run("datamodel_code_generator", *_options(source, target))
        text = target.read_text("utf-8")
        body = text[text.index("from __future__") :]
        target.write_text(_HEAD + body, "utf-8")
        config = f"--config={CLIENT / 'pyproject.toml'}"
        _run("ruff", "check", "--fix-only", "--quiet", config, "--select=I,UP,F401", str(target))
        _run("ruff", "format", "--quiet", config, str(target))
        return target.read_text("utf-8")


def shape(schema: Any, *, named: bool = False) -> Any:
    """Copy a schema without field titles and limits. `named`: keys are field names."""
    if isinstance(schema, list):
        return [shape(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, inner in schema.items():
        if not named and _is_left_out(key, inner):
            continue
        kept[key] = shape(inner, named=key == "properties" and not named)
    return kept


def _is_left_out(key: str, inner: Any) -> bool:
    if key == "additionalProperties":
        return not isinstance(inner, dict)  # the values of a map are typed
    if key == "default":
        return isinstance(inner, dict)  # the server fills in default objects
    return key == "title" or key in _LIMITS


def _options(source: Path, target: Path) -> list[str]:
    return [
        *("--input", str(source), "--output", str(target), "--input-file-type", "openapi"),
        *("--base-class", "finetuned._model.Model", "--target-python-version", "3.10"),
        *("--enum-field-as-literal", "all", "--collapse-root-models", "--formatters", "builtin"),
        *("--use-schema-description", "--use-field-description", "--use-annotated"),
        *("--use-union-operator", "--use-standard-collections", "--disable-timestamp"),
        "--strict-nullable",
    ]


def _run(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-m", module, *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main())
