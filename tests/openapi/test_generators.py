"""Generates Go and Java clients from openapi.json, compiles them, and runs the loop with Go.

`make proof NAME=generators` installs the generator, and names what else is missing.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import BASE_MODEL, Api
from tests.openapi.description import FILE, ROOT, Json, description, resolved

GENERATOR: Final = ROOT / ".cache/openapi-generator/openapi_generator_cli/openapi-generator.jar"
PROGRAM: Final = Path(__file__).parent / "generators" / "loop.go"
_GO_PATH: Final = Path("/usr/share/gocode")
# Jackson is in the generator itself.
_JARS: Final = ("jakarta-annotation-api", "httpclient", "httpcore", "httpmime")
_PACKAGES: Final = (
    "golang-go golang-gopkg-validator.v2-dev default-jdk-headless libhttpmime-java "
    "libjakarta-annotation-api-java"
)
_ROWS: Final = 10
_SHARED: Final = "disallowAdditionalPropertiesIfNotPresent=false"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        "FINETUNED_GENERATORS" not in os.environ,
        reason="4 minutes: 'make proof NAME=generators' runs it",
    ),
]


def _need(*programs: str) -> None:
    if missing := [program for program in programs if shutil.which(program) is None]:
        pytest.skip(f"without {', '.join(missing)}: apt-get install {_PACKAGES}")


def _run(*words: str | Path, more: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    began = time.monotonic()
    done = subprocess.run(
        words,
        env={**os.environ, **(more or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    print(f"{Path(words[0]).name} {words[1]}: {time.monotonic() - began:.0f} s")
    assert done.returncode == 0, f"{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def _generate(language: str, document: Path, target: Path, *options: str) -> Iterator[Path]:
    files: list[str | Path] = ["-i", document, "-o", target]
    _run("java", "-jar", GENERATOR, "generate", "-g", language, *files, *options)
    return target.rglob(f"*.{language}")


async def test_the_generated_go_client_does_the_loop(api: Api, tmp_path: Path):
    _need("java", "go")
    source = tmp_path / "src" / "finetuned"
    properties = f"packageName=finetuned,enumClassPrefix=true,withGoMod=false,{_SHARED}"
    written = len(list(_generate("go", FILE, source, f"--additional-properties={properties}")))
    shutil.rmtree(source / "test")  # needs a module that nothing else does
    (tmp_path / "src" / "loop").mkdir()
    shutil.copy(PROGRAM, tmp_path / "src" / "loop")
    program = tmp_path / "loop"
    path = {"GO111MODULE": "off", "GOPATH": f"{tmp_path}:{_GO_PATH}"}
    await asyncio.to_thread(_run, "go", "build", "-o", program, "loop", more=path)
    rows = tmp_path / "rows.jsonl"
    row = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}
    rows.write_text(f"{json.dumps(row)}\n" * _ROWS, "utf-8")
    key = await api.key()
    said = await asyncio.to_thread(_run, program, api.base_url, key, BASE_MODEL, rows)
    print(f"{written} files of Go, {len(said.splitlines())} steps:\n{said}")
    assert said.splitlines()[-1] == "get an error"


def test_the_generated_java_client_compiles(tmp_path: Path):
    _need("java", "javac")
    jars = [Path(f"/usr/share/java/{name}.jar") for name in _JARS]
    if missing := [jar.name for jar in jars if not jar.exists()]:
        pytest.skip(f"without {', '.join(missing)}: apt-get install {_PACKAGES}")
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(_without_maps_in_queries()), "utf-8")
    properties = f"library=native,openApiNullable=false,useJakartaEe=true,{_SHARED}"
    unions = ",".join(f"{name}=Object" for name in _unions_of_collections())
    options = (f"--additional-properties={properties}", "--schema-mappings", unions)
    found = _generate("java", document, tmp_path / "java", *options)
    sources = [file for file in found if "main" in file.parts]
    classes = tmp_path / "classes"
    classes.mkdir()
    path = ":".join(map(str, [GENERATOR, *jars]))
    _run("javac", "-nowarn", "-cp", path, "-d", classes, *sources)
    made = len(list(classes.rglob("*.class")))
    print(f"{len(sources)} files of Java, {made} classes")
    assert made > len(sources)


def _without_maps_in_queries() -> Json:
    """Return the document without parameters of the style `deepObject`, such as `metadata[key]`.

    The generator's templates for Java have no code for those that are maps.
    """
    document = copy.deepcopy(description())
    for methods in document["paths"].values():
        for operation in methods.values():
            kept = [p for p in operation.get("parameters", ()) if p.get("style") != "deepObject"]
            operation["parameters"] = kept
    return document


def _unions_of_collections() -> Iterator[str]:
    """Yield the generator's names of the unions with lists or maps.

    Its templates for Java write `List<String>.class`, which is not Java. OpenAI's API has these.
    """
    for name, schema in description()["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            if any(_is_collection(one) for one in _options(described)):
                yield f"{name}_{field}"


def _options(field: Json) -> list[Json]:
    unions: list[Json] = field.get("anyOf") or field.get("oneOf") or []
    options = [resolved(one) for one in unions]
    kept = [one for one in options if one.get("type") != "null"]
    return kept if len(kept) > 1 else []


def _is_collection(schema: Json) -> bool:
    is_map = "additionalProperties" in schema and "properties" not in schema
    return schema.get("type") == "array" or is_map
