"""A Python with LangChain and LlamaIndex, whose dependencies conflict with the engine's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.cached import ROOT, cache

PACKAGES: Final = ROOT / "tests" / "docs" / "integrations"


def framework_python() -> Path:
    """Install them into a separate environment, once, and return its Python."""
    wanted = (PACKAGES / "requirements.txt").read_text("utf-8")
    with cache("docs-venv") as venv:
        python, stamp = venv / "bin" / "python", venv / ".installed"
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "-r", str(PACKAGES / "requirements.txt")], check=True)
            stamp.write_text(wanted, "utf-8")
    return python
