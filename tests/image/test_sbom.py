"""Tests of the bills of materials, which images have in /sbom.json."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from scripts import sbom
from tests.cached import ROOT
from tests.image.test_dockerfile import SHIPPED, stages


@pytest.fixture(scope="module")
def printed() -> str:
    """What the script prints for this environment, in a process without anything else."""
    words = [sys.executable, "-I", str(ROOT / "scripts" / "sbom.py")]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def cyclonedx() -> jsonschema_rs.Validator:
    """CycloneDX's own schema, with its formats.

    The library's validator needs packages that every process with jsonschema then imports, engines
    too: 1.3 s of CPU in each.
    """
    folder = resources.files("cyclonedx.schema") / "_res"

    def read(name: str) -> tuple[str, Any]:
        file = f"{name}.SNAPSHOT.schema.json"
        return f"http://cyclonedx.org/schema/{file}", json.loads((folder / file).read_bytes())

    referenced = [read(name) for name in ("spdx", "jsf-0.82", "cryptography-defs")]
    return jsonschema_rs.Draft7Validator(
        read("bom-1.6")[1], validate_formats=True, registry=jsonschema_rs.Registry(referenced)
    )


def test_it_is_valid_cyclonedx(printed: str, cyclonedx: jsonschema_rs.Validator):
    bill = json.loads(printed)
    assert [error.message for error in cyclonedx.iter_errors(bill)] == []
    assert not cyclonedx.is_valid({**bill, "metadata": {"timestamp": "yesterday"}})
    assert not cyclonedx.is_valid({**bill, "unknown": 1})


def test_it_has_each_package_once_with_its_license(printed: str):
    components = json.loads(printed)["components"]
    urls = [component["purl"] for component in components]
    assert len(urls) == len(set(urls))
    by_name = {c["name"]: c for c in components if c["purl"].startswith("pkg:pypi/")}
    assert by_name["torch"]["version"] == metadata.version("torch")
    assert by_name["pydantic"]["licenses"] == [{"expression": "MIT"}]
    unlicensed = [name for name, component in by_name.items() if "licenses" not in component]
    assert len(unlicensed) < len(by_name) / 10, unlicensed


def test_packages_of_the_system_are_in_it(tmp_path: Path):
    status, release = tmp_path / "status", tmp_path / "os-release"
    status.write_text(
        "Package: libnuma1\nStatus: install ok installed\nVersion: 2.0.19-1+b1\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n"
    )
    release.write_text('PRETTY_NAME="Debian"\nID=debian\n')
    (component,) = sbom.system_packages(status, release)
    assert component["purl"] == "pkg:deb/debian/libnuma1@2.0.19-1%2Bb1"


@pytest.mark.parametrize("target", sorted(SHIPPED))
def test_every_image_has_one(target: str):
    words = [words for name, words in stages()[target] if name in {"COPY", "RUN"}]
    assert any("/sbom.json" in each for each in words)
