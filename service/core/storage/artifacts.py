"""Objects and folders of artifacts, and what a manifest says of a folder."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from obstore import ObjectMeta

MANIFEST = "manifest.json"


class StoredObject(NamedTuple):
    """An object in storage. `written_at` is in UTC seconds."""

    key: str
    size: int
    written_at: int
    tag: str = ""
    """Changes if the object is overwritten; comparable only within one storage."""


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a folder artifact."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """Contents of a folder artifact, and facts that its writer stores with it."""

    files: list[FileEntry]
    meta: dict[str, Any] = {}

    @property
    def digest(self) -> str:
        """Return a sha256 over all entries, which identifies the artifact's content."""
        listing = "\n".join(f"{f.sha256} {f.size} {f.path}" for f in self.files)
        return hashlib.sha256(listing.encode()).hexdigest()

    @property
    def size(self) -> int:
        """Total size of all files in bytes."""
        return sum(f.size for f in self.files)


def stored_object(item: ObjectMeta) -> StoredObject:
    """Return what a listing says of an object."""
    written_at = int(item["last_modified"].timestamp())
    return StoredObject(item["path"], item["size"], written_at, item["e_tag"] or "")
