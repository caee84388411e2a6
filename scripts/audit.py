"""Runs bandit on the code, and looks up known vulnerabilities of the pinned packages.

These are the tested versions, and further packages of the images, such as torch.

Exits with 1 if either finds something, and with 2 if packages could not be looked up. That needs a
connection to PyPI, unlike the rest of the project.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.locks import CONSTRAINTS, locks, read

ROOT: Final = Path(__file__).parent.parent
CODE: Final = ("service", "clients", "helm", "scripts", "examples")


def bandit() -> int:
    """Run bandit. Its exit code is 0 if it finds nothing."""
    words = [sys.executable, "-m", "bandit", "-q", "-c", "pyproject.toml", "-r", *CODE]
    return subprocess.run(words, cwd=ROOT, check=False).returncode


def pinned_packages() -> list[str]:
    """Return all packages of requirements/, like `name==version`."""
    wanted = [str(pin.requirement) for name in locks() for pin in read(name).values()]
    wanted += [line for line in CONSTRAINTS.read_text("utf-8").splitlines() if "==" in line]
    found = map(Requirement, wanted)
    return sorted({f"{canonicalize_name(each.name)}{each.specifier}" for each in found})


def vulnerabilities(packages: Path) -> tuple[list[str], list[str]]:
    """Return known vulnerabilities of packages, and the packages that could not be looked up."""
    words = ["--requirement", str(packages), "--no-deps", "--disable-pip", "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", *words, "--progress-spinner", "off"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = done.stderr.strip().rpartition("\n")[2]
        return [], [f"all: {reason}"]
    return _known(found), [each["name"] for each in found if "skip_reason" in each]


def _known(found: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"{each['name']} {each['version']}: {known['id']}, fixed in "
        f"{', '.join(known['fix_versions']) or 'no version'}"
        for each in found
        for known in each.get("vulns", ())
    ]


def main() -> int:
    """Run both and return the exit code."""
    failed = bandit() != 0
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as packages:
        packages.write("\n".join(pinned_packages()) + "\n")
        packages.flush()
        known, unknown = vulnerabilities(Path(packages.name))
    for line in known:
        sys.stdout.write(f"vulnerable: {line}\n")
    if unknown:
        sys.stdout.write(f"not looked up: {', '.join(unknown)}\n")
    if failed or known:
        return 1
    return 2 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
