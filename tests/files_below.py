"""The files in a folder, while other processes may remove some of them."""

from __future__ import annotations

import os
from pathlib import Path


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder. `Path.rglob` raises if a folder is removed meanwhile."""
    return sorted(Path(place, name) for place, _, names in os.walk(folder) for name in names)
