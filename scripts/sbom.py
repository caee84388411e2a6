"""Prints a bill of materials of this Python environment and its system, in CycloneDX JSON.

    /path/to/environment/bin/python scripts/sbom.py > sbom.json

It has no serial number and no time, so the same packages give the same bytes. It needs only Python,
because images are also built without internet access.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

DPKG = Path("/var/lib/dpkg/status")
OS_RELEASE = Path("/etc/os-release")
_MAX_LICENSE_CHARS = 80  # longer ones are whole texts
_CLASSIFIER = "License :: OSI Approved :: "


def python_packages() -> Iterator[dict[str, Any]]:
    """Yield a component for each installed distribution."""
    found: dict[str, metadata.Distribution] = {}
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        found.setdefault(name, distribution)  # the first on the path is the one in use
    for name, distribution in sorted(found.items()):
        yield _component(
            name, distribution.version, f"pkg:pypi/{name}", _licenses(distribution.metadata)
        )


def _licenses(facts: Any) -> list[dict[str, Any]]:
    if expression := facts.get("License-Expression"):
        return [{"expression": expression}]
    classifiers = facts.get_all("Classifier", [])
    names = [c.removeprefix(_CLASSIFIER) for c in classifiers if c.startswith(_CLASSIFIER)]
    text = (facts.get("License") or "").strip()
    if not names and text and "\n" not in text and len(text) <= _MAX_LICENSE_CHARS:
        names = [text]
    return [{"license": {"name": name}} for name in sorted(set(names))]


def system_packages(status: Path = DPKG, release: Path = OS_RELEASE) -> Iterator[dict[str, Any]]:
    """Yield a component for each package of a Debian system."""
    if not status.exists():
        return
    match = re.search(r"^ID=\"?(\w+)", release.read_text("utf-8"), re.MULTILINE)
    system = match[1] if match else "debian"
    for block in status.read_text("utf-8").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Status): (.+)$", block, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            yield _component(
                fields["Package"], fields["Version"], f"pkg:deb/{system}/{fields['Package']}", []
            )


def _component(
    name: str, version: str, package: str, licenses: list[dict[str, Any]]
) -> dict[str, Any]:
    url = f"{package}@{quote(version, safe='')}"
    made = {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}
    return {**made, "licenses": licenses} if licenses else made


def bill() -> dict[str, Any]:
    """Return the bill of materials."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "components": [*python_packages(), *system_packages()],
    }


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=1)
    sys.stdout.write("\n")
