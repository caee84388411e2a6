"""Reads what Hugging Face's tools write next to a model's weights: its card and its digests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from service.models.model_folder import ModelRefused

# `hf download --local-dir` records commit, digest and time of each file here, one per line.
_DOWNLOADS: Final = Path(".cache", "huggingface", "download")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")  # SHA-256, or that of a Git blob
_SHA256_CHARS: Final = 64
_MAX_CARD_BYTES: Final = 1024 * 1024
_FRONT: Final = re.compile(r"\A\ufeff?---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


def verify_download(folder: Path, report: Callable[[str], None]) -> None:
    """Compare files with the digests that the download recorded. Raises ModelRefused."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    known = {file: digest for file in files if (digest := _digest(folder, file))}
    if known:
        size = sum(file.stat().st_size for file in known)
        report(f"verifying {len(known)} files, {size / 1e9:,.1f} GB")
    for file, digest in known.items():
        if not _has_digest(file, digest):
            raise ModelRefused(
                f"{file.relative_to(folder)} in {folder} is damaged: it has the wrong digest. "
                "Copy or download it again"
            )


def _digest(folder: Path, file: Path) -> str | None:
    """Return the digest of a file's download, unless an operator changed the file afterwards.

    Weights count as damaged if they differ: a copy without the times of files is verified as well.
    """
    if file.is_symlink() and (blob := file.resolve()).parent.name == "blobs":
        return blob.name if _DIGEST.fullmatch(blob.name) else None  # of a Hugging Face cache
    try:
        record = folder / _DOWNLOADS / f"{file.relative_to(folder)}.metadata"
        _, digest, time_s = record.read_text().split()[:3]
        was_changed = file.suffix != ".safetensors" and file.stat().st_mtime - 1 > float(time_s)
    except (OSError, ValueError):
        return None
    return digest if _DIGEST.fullmatch(digest) and not was_changed else None


def _has_digest(file: Path, digest: str) -> bool:
    header = b"blob %d\0" % file.stat().st_size
    with file.open("rb") as source:
        found = hashlib.file_digest(
            source,
            hashlib.sha256
            if len(digest) == _SHA256_CHARS
            else lambda: hashlib.sha1(header, usedforsecurity=False),
        )
    return found.hexdigest() == digest


class Card(NamedTuple):
    """License and languages in a model card; None and empty if it does not state them."""

    license: str | None = None
    languages: tuple[str, ...] = ()


def read_card(folder: Path) -> Card:
    """Read the card in a model's folder; an empty one if it cannot be read."""
    try:
        with (folder / "README.md").open("rb") as source:
            text = source.read(_MAX_CARD_BYTES).decode("utf-8", errors="replace")
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
    named = found if isinstance(found, list) else [found]
    # YAML reads the code of Norwegian as false.
    codes = ["no" if code is False else code for code in named]
    plain = [code for code in codes if isinstance(code, str) and _LANGUAGE.fullmatch(code)]
    return tuple(dict.fromkeys(plain))
