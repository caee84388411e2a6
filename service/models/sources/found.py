"""A model whose files were found on this machine, with the digests that are known of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.models.sources.digests import CHUNK_BYTES, Checksum

Report = Callable[[str], None]
"""Prints a line about what is being done, because large models take minutes."""


@dataclass(frozen=True)
class FoundFile:
    """A file, and the digest by which its store names it, if it does."""

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
        return checksum.checked(self.path, self.where)


@dataclass(frozen=True)
class FoundModel:
    """A model in a folder or a cache. `card_folder` contains its files under their own names."""

    name: str
    revision: str | None
    files: tuple[FoundFile, ...]
    left_out: tuple[str, ...]
    card_folder: Path

    def in_words(self, verb: str) -> str:
        """Return a line about what is done with the model, and which files are left out."""
        size = sum(file.size for file in self.files) / 1e9
        done = f"{verb} {len(self.files)} files of {self.name}, {size:,.1f} GB"
        return f"{done}, without {listed(self.left_out)}" if self.left_out else done


def listed(names: tuple[str, ...]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
