"""The passport of an adapter: what it was trained from and how, without the data itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

PASSPORT: Final = "passport.json"
_NF4: Final = "nf4"


def read_passport(adapter: Path) -> dict[str, Any]:
    """Return the passport in an adapter's folder; empty if there is none that can be read."""
    try:
        found = json.loads((adapter / PASSPORT).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def section(passport: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an object in a passport; empty if it is missing."""
    found = passport.get(name)
    return found if isinstance(found, dict) else {}


def is_trained_on_nf4(adapter: Path) -> bool:
    """Whether the base model was quantized while the adapter was trained (QLoRA)."""
    return section(read_passport(adapter), "spec").get("quantization") == _NF4
