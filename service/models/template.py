"""Identify the chat template of a base model's folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

_TEMPLATES = ("chat_template.jinja", "tokenizer_config.json")


def template_digest(folder: Path) -> str | None:
    """The SHA-256 digest of the folder's chat template; None if none can be read."""
    try:
        text = next(filter(None, (_read(folder / name) for name in _TEMPLATES)), None)
    except (OSError, ValueError):
        return None
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def _read(file: Path) -> str | None:
    if not file.is_file():
        return None
    text = file.read_text("utf-8")
    if file.suffix != ".json":
        return text
    template = json.loads(text).get("chat_template")
    return None if template is None else json.dumps(template)
