"""Prints the requirements in pyproject.toml, one per line, without this project itself.

    python scripts/dependencies.py [--without-core] [EXTRA …]

The images use it to install dependencies in a separate layer, which code changes do not
invalidate.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def dependencies(extras: list[str], *, core: bool = True) -> list[str]:
    """Return the requirements of the project (`core`) and of the given extras."""
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    wanted: list[str] = list(project["dependencies"]) if core else []
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    return wanted


if __name__ == "__main__":
    words = sys.argv[1:]
    extras = [word for word in words if not word.startswith("--")]
    sys.stdout.write("\n".join(dependencies(extras, core="--without-core" not in words)) + "\n")
