"""Reads and verifies `bundle.json`: a model's files with their digests, its origin and license.

It is the first entry of a bundle, and is in each folder that `models add` creates.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.models.model_folder import ModelRefused
from service.models.sources.files import (
    CHUNK_BYTES,
    MANIFEST,
    MAX_FILES,
    Checksum,
    belongs,
    require_size,
    safe_path,
)

FORMAT: Final = 1
MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024
_Text = Annotated[str, Field(min_length=1, max_length=256)]
Report = Callable[[str], None]
"""Prints a progress line, because large models take minutes."""


class ModelFile(BaseModel):
    """One file: its path in the model's folder, its size in bytes and its SHA-256 digest."""

    model_config = ConfigDict(frozen=True)

    path: str = Field(min_length=1, max_length=512)
    size: int = Field(ge=0, strict=True)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """The contents of a bundle. A later version may add fields, which are ignored."""

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = FORMAT
    name: _Text
    revision: _Text | None = None
    license: _Text | None = None
    files: tuple[ModelFile, ...] = Field(min_length=1, max_length=MAX_FILES)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def folder(self) -> str:
        """The model's name as the name of a folder."""
        return self.name.replace("/", "--")

    def encoded(self) -> bytes:
        """Return the manifest as JSON. Equal manifests give the same bytes."""
        return json.dumps(self.model_dump(mode="json"), indent=2).encode() + b"\n"


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Parse an untrusted manifest. Raises ModelRefused."""
    try:
        found = json.loads(content)
        version = found["format_version"]
        if isinstance(version, int) and version > FORMAT:
            raise ModelRefused(
                f"{where} has the format {version}, and this version reads {FORMAT}: upgrade "
                "finetuned, or make the bundle with this version"
            )
        manifest = Manifest.model_validate(found)
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as e:
        raise ModelRefused(f"{MANIFEST} of {where} is not the manifest of a bundle") from e
    for name in (manifest.folder, *(file.path for file in manifest.files)):
        safe_path(name, f"{MANIFEST} of {where}")
    for file in manifest.files:
        if not belongs(file.path):
            raise ModelRefused(
                f"{MANIFEST} of {where} lists {file.path}, which is not a model file: only "
                "safetensors, JSON, tokenizers, chat templates and texts are taken, never pickles "
                "or code"
            )
        require_size(file.path, file.size, where)
    if len({file.path for file in manifest.files}) < len(manifest.files):
        raise ModelRefused(f"{MANIFEST} of {where} lists a file twice")
    return manifest


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest in a folder, if there is one. Raises ModelRefused."""
    file = folder / MANIFEST
    if not file.is_file() or file.stat().st_size > MAX_MANIFEST_BYTES:
        return None
    return parse_manifest(file.read_bytes(), str(folder))


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Compare all files of a folder with a manifest. Raises ModelRefused for a difference."""
    for listed in manifest.files:
        file = folder / listed.path
        if not file.is_file():
            raise ModelRefused(f"{folder} lacks {listed.path}: copy it again")
        checksum = Checksum(listed.size, listed.sha256)
        with file.open("rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                checksum.update(chunk)
        checksum.verify(listed.path, str(folder))


@dataclass(frozen=True)
class FoundFile:
    """A file, and its digest if the store names it by one."""

    path: str
    file: Path
    known: str | None
    where: str

    @property
    def size(self) -> int:
        return self.file.stat().st_size

    def digest(self) -> str:
        """Read the file and return its SHA-256 digest. Raises ModelRefused if it is damaged."""
        checksum = Checksum(self.size, self.known)
        with self.file.open("rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                checksum.update(chunk)
        return checksum.verify(self.path, self.where)


@dataclass(frozen=True)
class FoundModel:
    """A model in a folder or a cache. `card_folder` contains its files under their own names."""

    name: str
    revision: str | None
    files: tuple[FoundFile, ...]
    left_out: tuple[str, ...]
    card_folder: Path

    def describe(self, verb: str) -> str:
        """Return a progress line about the model, with the files that are left out."""
        size = sum(file.size for file in self.files) / 1e9
        done = f"{verb} {len(self.files)} files of {self.name}, {size:,.1f} GB"
        return f"{done}, without {list_names(self.left_out)}" if self.left_out else done


def list_names(names: tuple[str, ...]) -> str:
    """Return the first three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
