"""Installs what our plugin needs into a Python that has vLLM, and changes nothing it has.

    python3 scripts/add_to_vllm.py

What is installed is held at its version; what is new is held by requirements/constraints.txt.
pip ends with an error where the two do not go together.
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
    """Constraints: what is `present` at its version, then what was `tested` of the rest."""
    held = [f"{name}=={version}" for name, version in sorted(present.items())]
    lines = [line for line in tested.splitlines() if line and not line.startswith("#")]
    return held + [line for line in lines if _plain(line.partition("==")[0]) not in present]


def main() -> None:
    """Install; pip's own exit code ends the build where it fails."""
    present = {_plain(d.metadata["Name"]): d.version for d in metadata.distributions()}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(merged(CONSTRAINTS.read_text("utf-8"), present)) + "\n")
        constraints.flush()
        pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--break-system-packages"]
        subprocess.run([*pip, "--constraint", constraints.name, *dependencies([])], check=True)


if __name__ == "__main__":
    main()
