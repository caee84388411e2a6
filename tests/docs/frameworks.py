"""A Python with LangChain, LlamaIndex and Instructor, whose dependencies conflict with vLLM's."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.cached import ROOT
from tests.venvs import python_with

PACKAGES: Final = ROOT / "tests" / "docs" / "integrations"


def framework_python() -> Path:
    """Install them into a separate environment, once, and return its Python."""
    return python_with(PACKAGES / "requirements.txt", "docs-venv")
