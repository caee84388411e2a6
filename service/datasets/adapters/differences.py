"""Compare the tokenizer and the chat template of an adapter's folder with its base model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from service.datasets.checks.issues import Issue, make_issue, shown

# Parts of tokenizer.json that decide which tokens a text becomes. Padding and truncation are
# settings of a training.
_PARTS = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model")


def differences(adapter: Path, base: Path, *, given: str | None, base_name: str) -> list[Issue]:
    """Return how an adapter's folder differs from the folder of the base model it is for.

    `given` is the base model that the adapter's configuration names.
    """
    found = []
    if given is not None and _last(given) != _last(base_name):
        found.append(make_issue("base_name_differs", given=shown(_tail(given)), base=base_name))
    found += _tokenizer(adapter, base)
    return found + _template(adapter, base)


def _tail(name: str) -> str:
    """The part of a model's name or path that names the model."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _last(name: str) -> str:
    return _tail(name).lower()


def _tokenizer(adapter: Path, base: Path) -> list[Issue]:
    ours, theirs = (_json(folder / "tokenizer.json") for folder in (base, adapter))
    if theirs is None or ours is None:
        return [make_issue("tokenizer_not_compared")]
    parts = [part for part in _PARTS if _plain(part, ours) != _plain(part, theirs)]
    return [make_issue("tokenizer_differs", parts=", ".join(parts))] if parts else []


def _plain(part: str, tokenizer: dict[str, Any]) -> object:
    """Return a part in a form that does not depend on the version that wrote it."""
    value = tokenizer.get(part)
    if part == "model" and isinstance(value, dict):
        merges = value.get("merges")
        if isinstance(merges, list):
            value = {**value, "merges": [_merge(merge) for merge in merges]}
        return {key: inner for key, inner in value.items() if inner not in (None, False)}
    return value


def _merge(merge: object) -> object:
    """Return a merge as one text: newer versions write pairs."""
    return " ".join(map(str, merge)) if isinstance(merge, list) else merge


def _template(adapter: Path, base: Path) -> list[Issue]:
    theirs = _template_of(adapter)
    if theirs is None:
        return [make_issue("template_not_compared")]
    ours = _template_of(base)
    return [] if ours == theirs else [make_issue("template_differs")]


def _template_of(folder: Path) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8", errors="replace").strip()
    config = _json(folder / "tokenizer_config.json") or {}
    found = config.get("chat_template")
    return found.strip() if isinstance(found, str) else None


def _json(file: Path) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
