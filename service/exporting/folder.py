"""Copies the files around the weights, such as tokenizer and passport, and lists all files."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Final

from service.exporting.contract import OutputFile

PASSPORT: Final = "passport.json"
SHOWN_LIBRARIES: Final = (
    *("finetuned", "torch", "transformers", "peft", "trl", "bitsandbytes", "tokenizers"),
    "safetensors",
)
"""The libraries of a passport, which has all installed packages, that people are shown."""
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


_TOKENIZER_FILES: Final = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)
_LICENSE_FILES: Final = ("LICENSE*", "NOTICE*", "USE_POLICY*")
_ADAPTER_FILES: Final = ("adapter_config.json", "adapter_model.safetensors")


def copy_tokenizer(base: Path, target: Path) -> None:
    """Copy the tokenizer, its chat template and the generation defaults."""
    _copy(base, target, _TOKENIZER_FILES)


def copy_adapter(adapter: Path, target: Path) -> None:
    """Copy the adapter and its passport, if it has one."""
    _copy(adapter, target, (*_ADAPTER_FILES, PASSPORT))


def copy_passport(adapter: Path, target: Path) -> None:
    """Copy the adapter's passport, if it has one."""
    _copy(adapter, target, (PASSPORT,))


def copy_license(base: Path, target: Path) -> None:
    """Copy the license and the notices of the base model, if its folder has them."""
    found = (file.name for name in _LICENSE_FILES for file in base.glob(name))
    _copy(base, target, tuple(found))


def _copy(source: Path, target: Path, names: tuple[str, ...]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def chat_template(folder: Path) -> str | None:
    """Return the chat template of a folder; None if it has none, or several."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    try:
        template = json.loads((folder / "tokenizer_config.json").read_bytes()).get("chat_template")
    except (OSError, ValueError):
        return None
    return template if isinstance(template, str) else None


def list_files(folder: Path) -> tuple[OutputFile, ...]:
    """List all files of the folder with their sizes and digests, sorted by path."""
    return tuple(
        OutputFile(
            path=file.relative_to(folder).as_posix(),
            bytes=file.stat().st_size,
            sha256=_sha256(file),
        )
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
