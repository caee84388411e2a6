"""Read the plain files of a tar or zip archive from outside, one after the other, within limits.

Nothing is extracted by the archive's own paths, owners or modes: callers get a checked path and a
stream, and choose where to write.
"""

from __future__ import annotations

import contextlib
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from service.datasets.checks.issues import shown
from service.datasets.errors import DatasetError, refuse
from service.datasets.formats.options import FormatOptions
from service.datasets.formats.unpack import compression_of, is_of_disk, unpack

MAX_ENTRIES = 1000
_MAX_PATH_CHARS, _MAX_DEPTH = 512, 8
# tarfile reads a header's extensions in one piece, whose size the archive states.
_MAX_READ_BYTES = 1024 * 1024
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RecursionError,
    NotImplementedError,
    OverflowError,
    ValueError,
)


class Member(NamedTuple):
    """A plain file in an archive: its relative path, its size in bytes as stated, its content."""

    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


@contextlib.contextmanager
def opened(archive: Path, scratch: Path, *, max_bytes: int) -> Iterator[Iterator[Member]]:
    """Open an archive for one pass over its files.

    A compressed tar is first unpacked into the folder `scratch`. Raises DatasetError for anything
    that is not a plain file or folder with a path inside the archive, for too many entries or
    bytes, and for damage, also when a member is read. Raises OSError if the disk is full.
    """
    kind = "archive"
    try:
        with archive.open("rb") as source:
            head = source.read(4)
        if head in (b"PK\x03\x04", b"PK\x05\x06"):
            kind = "zip"
            with zipfile.ZipFile(archive) as found:
                yield _within_limits(_zip_members(found), max_bytes)
            return
        if (compression := compression_of(head)) is not None:
            options = FormatOptions(max_unpacked_bytes=max_bytes)
            unpack(archive, scratch / "archive.tar", compression, options)
            archive = scratch / "archive.tar"
        kind = "tar"
        with archive.open("rb") as source, _tar(_Bounded(source)) as tar:
            yield _within_limits(_tar_members(tar), max_bytes)
    except DatasetError:
        raise
    except _DAMAGED as error:
        if is_of_disk(error):
            raise
        raise refuse("damaged_archive", kind=kind) from error


def _within_limits(members: Iterator[Member | None], max_bytes: int) -> Iterator[Member]:
    """Yield the files. A member that is None is a folder, which counts as an entry."""
    total = 0
    for number, member in enumerate(members, 1):
        if number > MAX_ENTRIES:
            raise refuse("archive_entries", limit=MAX_ENTRIES)
        if member is None:
            continue
        total += member.size
        if total > max_bytes:
            raise refuse("archive_too_large", limit=max_bytes)
        yield member


class _Bounded:
    """A file that refuses to read large pieces into memory."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.seek, self.tell = source.seek, source.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MAX_READ_BYTES:
            raise tarfile.ReadError("a header of this size is not valid")
        return self._source.read(size)


def _tar(source: Any) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=source, mode="r:")
    except tarfile.ReadError as error:
        raise refuse("not_an_archive") from error


def _tar_members(tar: tarfile.TarFile) -> Iterator[Member | None]:
    for info in tar:
        path = _checked(info.name)
        if info.issym() or info.islnk():
            raise refuse("archive_link", name=shown(info.name))
        if info.isdir():
            yield None
            continue
        if not info.isreg() or info.issparse():
            raise refuse("archive_special", name=shown(info.name))

        def read(info: tarfile.TarInfo = info) -> IO[bytes]:
            content = tar.extractfile(info)
            assert content is not None  # a plain file
            return content

        yield Member(path, info.size, read)


def _zip_members(archive: zipfile.ZipFile) -> Iterator[Member | None]:
    for info in archive.infolist():
        path = _checked(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind == stat.S_IFLNK:
            raise refuse("archive_link", name=shown(info.filename))
        if info.is_dir():
            yield None
            continue
        if kind not in (0, stat.S_IFREG):
            raise refuse("archive_special", name=shown(info.filename))
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _ZIP_METHODS:
            raise refuse("archive_compression", name=shown(info.filename))

        def read(info: zipfile.ZipInfo = info) -> IO[bytes]:
            return archive.open(info)

        yield Member(path, info.file_size, read)


def _checked(name: str) -> PurePosixPath:
    """Return an entry's path. Raises DatasetError unless it is plainly inside the archive."""
    path = PurePosixPath(name)
    if (
        not name
        or len(name) > _MAX_PATH_CHARS
        or len(path.parts) > _MAX_DEPTH
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or ":" in name
        or not name.isprintable()
    ):
        raise refuse("archive_path", name=shown(name))
    return path
