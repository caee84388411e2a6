"""Generates Go and Java clients from openapi.json, compiles them, and runs the loop with Go.

`make proof NAME=generators` installs the generator, and names what else is missing.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import BASE_MODEL, Api
from tests.openapi.description import FILE, ROOT, description, resolved

GENERATOR: Final = ROOT / ".cache/openapi-generator/openapi_generator_cli/openapi-generator.jar"
PROGRAM: Final = Path(__file__).parent / "generators" / "loop.go"
_GO_PATH: Final = Path("/usr/share/gocode")
_JARS: Final = (
    *("jackson-annotations", "jackson-core", "jackson-databind", "jackson-datatype-jsr310"),
    *("jakarta-annotation-api", "jsr305", "httpclient", "httpcore", "httpmime"),
)
_PACKAGES: Final = (
    "golang-go golang-gopkg-validator.v2-dev default-jdk-headless libjackson2-databind-java "
    "libjackson2-modules-java8-java libjakarta-annotation-api-java libjsr305-java libhttpmime-java"
)
_ROWS: Final = 10
_SHARED: Final = "disallowAdditionalPropertiesIfNotPresent=false"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("FINETUNED_GENERATORS" not in os.environ, reason="a proof of 4 minutes"),
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


def _generate(language: str, target: Path, *options: str) -> Iterator[Path]:
    arguments = ["generate", "-g", language, "-i", FILE, "-o", target, *options]
    _run("java", "-jar", GENERATOR, *arguments)
    return target.rglob(f"*.{language}")


async def test_the_generated_go_client_does_the_loop(api: Api, tmp_path: Path):
    _need("java", "go")
    source = tmp_path / "src" / "finetuned"
    properties = f"packageName=finetuned,enumClassPrefix=true,withGoMod=false,{_SHARED}"
    written = len(list(_generate("go", source, f"--additional-properties={properties}")))
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
    properties = f"library=native,openApiNullable=false,dateLibrary=legacy,{_SHARED}"
    unions = ",".join(f"{name}=Object" for name in _unions_of_collections())
    found = _generate(
        "java",
        tmp_path / "java",
        f"--additional-properties={properties},useJakartaEe=true",
        *("--schema-mappings", unions),
    )
    # Sources that only other date libraries use, and that need a newer Jackson than Debian's.
    sources = [
        file for file in found if "main" in file.parts and not file.name.startswith("RFC3339")
    ]
    classes = tmp_path / "classes"
    classes.mkdir()
    path = ":".join(map(str, jars))
    _run("javac", "-nowarn", "-cp", path, "-d", classes, *sources)
    made = len(list(classes.rglob("*.class")))
    print(f"{len(sources)} files of Java, {made} classes")
    assert made > len(sources)


def _unions_of_collections() -> Iterator[str]:
    """Yield the generator's names of the unions with lists or maps.

    Its templates for Java write these as `List<String>.class`, which is not Java. They are OpenAI's.
    """
    for name, schema in description()["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            if any(_is_collection(one) for one in _options(described)):
                yield f"{name}_{field}"


def _options(field: dict[str, Any]) -> list[dict[str, Any]]:
    options = [resolved(one) for one in field.get("anyOf", field.get("oneOf", ()))]
    kept = [one for one in options if one.get("type") != "null"]
    return kept if len(kept) > 1 else []


def _is_collection(schema: dict[str, Any]) -> bool:
    is_map = "additionalProperties" in schema and "properties" not in schema
    return schema.get("type") == "array" or is_map
