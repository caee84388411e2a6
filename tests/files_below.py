"""The files in a folder, while other processes may remove some of them."""

from __future__ import annotations

import os
from pathlib import Path


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder. `Path.rglob` raises if one is removed while it runs."""
    return sorted(Path(place, name) for place, _, names in os.walk(folder) for name in names)
