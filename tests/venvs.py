"""Python environments for packages whose dependencies conflict with those of the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cached import cache


def python_with(requirements: Path, name: str) -> Path:
    """Install a requirements file into the environment `name` in the cache, once, and return its
    Python.
    """
    wanted = requirements.read_text("utf-8")
    with cache(name) as venv:
        python, stamp = venv / "bin" / "python", venv / ".installed"
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "-r", str(requirements)], check=True)
            stamp.write_text(wanted, "utf-8")
    return python
