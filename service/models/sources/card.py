"""The model card: the front matter of a README.md, as the Hugging Face Hub reads it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

_MAX_BYTES: Final = 1024 * 1024
_FRONT: Final = re.compile(r"\A\ufeff?---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


class Card(NamedTuple):
    """What a model card says; None and empty if it does not."""

    license: str | None = None
    languages: tuple[str, ...] = ()


def read_card(folder: Path) -> Card:
    """Read the card in a model's folder. A card that cannot be read says nothing."""
    try:
        with (folder / "README.md").open("rb") as source:
            text = source.read(_MAX_BYTES).decode("utf-8", errors="replace")
        front = _FRONT.match(text)
        fields = yaml.safe_load(front[1]) if front else None
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return Card()
    return Card(_license(fields), _languages(fields)) if isinstance(fields, dict) else Card()


def _license(fields: dict[str, Any]) -> str | None:
    """Return the identifier of the license; for `other`, its name."""
    found = fields.get("license")
    if isinstance(found, list) and len(found) == 1:
        [found] = found
    if found == "other":
        found = fields.get("license_name")
    return found.strip()[:128] or None if isinstance(found, str) else None


def _languages(fields: dict[str, Any]) -> tuple[str, ...]:
    found = fields.get("language")
    listed = found if isinstance(found, list) else [found]
    # YAML reads the code of Norwegian as false.
    codes = ["no" if code is False else code for code in listed]
    plain = [code for code in codes if isinstance(code, str) and _LANGUAGE.fullmatch(code)]
    return tuple(dict.fromkeys(plain))
