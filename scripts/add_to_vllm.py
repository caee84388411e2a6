"""Installs our dependencies and vLLM's plugins into a Python with vLLM, changing no packages.

    python3 scripts/add_to_vllm.py

Installed packages are pinned to their current versions; new ones are pinned by
requirements/constraints.txt. pip fails if the two conflict.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from dependencies import dependencies

CONSTRAINTS = Path(__file__).parent.parent / "requirements" / "constraints.txt"


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def merged(tested: str, present: dict[str, str]) -> list[str]:
    """Return constraints: `present` packages at their versions, and `tested` ones for the rest."""
    held = [f"{name}=={version}" for name, version in sorted(present.items())]
    lines = [line for line in tested.splitlines() if line and not line.startswith("#")]
    return held + [line for line in lines if _plain(line.partition("==")[0]) not in present]


def main() -> None:
    """Run pip. Exits with pip's exit code, so that a failure ends the build."""
    present = {_plain(d.metadata["Name"]): d.version for d in metadata.distributions()}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(merged(CONSTRAINTS.read_text("utf-8"), present)) + "\n")
        constraints.flush()
        pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--break-system-packages"]
        wanted = dependencies(["inference"])
        subprocess.run([*pip, "--constraint", constraints.name, *wanted], check=True)


if __name__ == "__main__":
    main()
