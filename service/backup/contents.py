"""Reads and writes the files that describe a backup: its records, its objects and its manifest.

records.gz     each record: the sizes of key and value, the expiration time, key and value
objects.gz     each object in a line of JSON
manifest.json  the digests of both; written last
"""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec


class BackupError(Exception):
    """A backup or restore failed. The message says what is wrong and how to fix it."""


class Damaged(BackupError):
    """The bytes of a backup differ from those written."""


FORMAT: Final = 1
RECORDS, OBJECTS, MANIFEST = "records.gz", "objects.gz", "manifest.json"
_HEAD: Final = struct.Struct(">IIq")
_LEVEL: Final = 1  # higher levels take several times as long and save little


class Saved(NamedTuple):
    """A Redis key with its value in the format of `RESTORE`."""

    key: bytes
    expires_at_ms: int
    """-1 if the key does not expire, and DROPPED if it was removed."""
    value: bytes


class SavedObject(msgspec.Struct, frozen=True):
    """A stored object, whose bytes are in the target under their digest."""

    key: str
    size: int
    sha256: str
    tag: str
    """The tag in storage. If it is unchanged, the next backup does not read the object."""


class BackupFile(msgspec.Struct, frozen=True):
    """A file of a backup, with the number of its entries."""

    sha256: str
    count: int


class BackupManifest(msgspec.Struct, frozen=True):
    """A complete backup. `taken_at` is in UTC seconds, `size` is that of all objects in bytes."""

    id: str
    taken_at: float
    version: str
    server: str
    records: BackupFile
    objects: BackupFile
    size: int
    format: int = FORMAT

    def encode(self) -> bytes:
        """Return the JSON, which contains a digest of all other fields."""
        fields = msgspec.to_builtins(self)
        return msgspec.json.format(
            msgspec.json.encode({**fields, "sha256": _digest_of(fields)}), indent=2
        )

    @classmethod
    def decode(cls, raw: bytes, where: str) -> BackupManifest:
        """Parse a manifest. Raises Damaged if it was changed, and BackupError if it is too new."""
        try:
            fields = msgspec.json.decode(raw, type=dict[str, object])
            digest = fields.pop("sha256", None)
            if digest == _digest_of(fields) and fields.get("format") != FORMAT:
                raise BackupError(
                    f"{where} has the format {fields.get('format')}, which a newer version of the "
                    "service wrote: restore it with that version"
                )
            manifest = msgspec.convert(fields, cls)
        except (msgspec.DecodeError, msgspec.ValidationError) as e:
            raise Damaged(f"{where} is damaged: it cannot be read") from e
        if digest != _digest_of(fields):
            raise Damaged(f"{where} is damaged: its digest differs")
        return manifest


def write_records(path: Path, records: Iterable[Saved]) -> BackupFile:
    """Write records to a file."""
    count = 0
    with gzip.open(path, "wb", compresslevel=_LEVEL) as sink:
        for key, expires_at_ms, value in records:
            count += 1
            sink.write(_HEAD.pack(len(key), len(value), expires_at_ms) + key + value)
    return _describe(path, count)


def read_records(path: Path) -> Iterator[Saved]:
    """Yield the records in a file whose digest was checked."""
    with gzip.open(path, "rb") as source:
        while head := source.read(_HEAD.size):
            key_size, value_size, expires_at_ms = _HEAD.unpack(head)
            yield Saved(source.read(key_size), expires_at_ms, source.read(value_size))


def write_objects(path: Path, objects: Iterable[SavedObject]) -> BackupFile:
    """Write a list of objects to a file."""
    count = 0
    with gzip.open(path, "wb", compresslevel=_LEVEL) as sink:
        for found in objects:
            count += 1
            sink.write(msgspec.json.encode(found) + b"\n")
    return _describe(path, count)


def read_objects(path: Path) -> Iterator[SavedObject]:
    """Yield the objects listed in a file whose digest was checked."""
    decode = msgspec.json.Decoder(SavedObject).decode
    with gzip.open(path, "rb") as source:
        for line in source:
            yield decode(line)


def _describe(path: Path, count: int) -> BackupFile:
    with path.open("rb") as source:
        return BackupFile(sha256=hashlib.file_digest(source, "sha256").hexdigest(), count=count)


def _digest_of(fields: object) -> str:
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()
