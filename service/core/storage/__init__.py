"""Artifact storage in a folder or on S3, behind a small interface over obstore.

A folder of artifacts is written file by file, and its `manifest.json` last, with the size and
sha256 of each file. A folder without a manifest does not exist for readers, so they never see an
incomplete upload, neither on a file system nor on S3.

A write that returns survives a power failure: a file and its folders are synced to the disk.

With a master key, objects are encrypted as they are written and decrypted as they are read
(`service/core/encryption`), no matter by which process. Objects that are not encrypted yet
stay readable. Sizes of objects are those in storage.
"""

from service.core.errors import (
    QUOTA,
    QuotaExceeded,
    RedisFull,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageMissing,
    StorageRefused,
)
from service.core.storage.objects import MANIFEST, FileEntry, Manifest, Storage, StoredObject
from service.core.storage.writer import Writer

__all__ = [
    "MANIFEST",
    "QUOTA",
    "FileEntry",
    "Manifest",
    "QuotaExceeded",
    "RedisFull",
    "Storage",
    "StorageCorrupt",
    "StorageError",
    "StorageFull",
    "StorageMissing",
    "StorageRefused",
    "StoredObject",
    "Writer",
]
