"""Reads untrusted tar archives, and unpacks bundles of `models bundle`, in one pass.

Callers choose where to write, never the paths in an archive. tarfile's streams are not used,
because they read header extensions into memory at once, whatever size the archive states.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, NamedTuple, Protocol, cast

from service.models.model_folder import ModelRefused
from service.models.sources.files import CHUNK_BYTES, MANIFEST, Checksum, safe_path
from service.models.sources.manifest import MAX_MANIFEST_BYTES, Manifest, Report, parse_manifest
from service.models.sources.staging import require_space, write

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MAX_READ_BYTES: Final = CHUNK_BYTES
_MAX_ZSTD_WINDOW: Final = 128 * 1024**2
# Images of whole systems have tens of thousands.
_MAX_ENTRIES: Final = 200_000
_DAMAGED: Final = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    OverflowError,
    RecursionError,
    ValueError,
)
_OCI: Final = ("oci-layout", "index.json", "blobs", "manifest.json")


class Readable(Protocol):
    """An object that returns at most `size` bytes."""

    def read(self, size: int, /) -> bytes: ...


class Entry(NamedTuple):
    """A file in an archive, or something else than a file, such as a link, without chunks."""

    path: PurePosixPath
    size: int
    is_file: bool
    chunks: Iterator[bytes]


@contextlib.contextmanager
def entries(source: io.BufferedReader[Any], where: str) -> Iterator[Iterator[Entry]]:
    """Open an archive for one pass. The chunks of an entry must be read before the next one.

    Folders are skipped. Raises ModelRefused for damage and unsafe paths, also in the pass.
    """
    try:
        with tarfile.open(fileobj=_as_file(_decompressed(source, where)), mode="r:") as tar:
            yield _entries(tar, where)
    except _DAMAGED as e:
        raise ModelRefused(
            f"{where} is not a tar archive, or is damaged or cut off: copy it again"
        ) from e


def _entries(tar: tarfile.TarFile, where: str) -> Iterator[Entry]:
    for number, info in enumerate(tar):
        if number >= _MAX_ENTRIES:
            raise ModelRefused(f"{where} has more than {_MAX_ENTRIES:,} entries")
        cast("Any", tar).members.clear()  # tarfile keeps all headers in memory
        if info.isdir():
            continue
        path = safe_path(info.name, where)
        is_file = info.isreg() and not info.issparse()
        yield Entry(path, info.size, is_file, _chunks(tar, info) if is_file else iter(()))


def _chunks(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    source = cast("_Forward", tar.fileobj)
    source.seek(info.offset_data)
    left = info.size
    while left:
        chunk = source.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise tarfile.ReadError("cut off")
        left -= len(chunk)
        yield chunk


def _as_file(source: Readable) -> Any:
    return _Forward(source)


class _Forward:
    """A stream with a position. It refuses to go back, and to read large pieces into memory."""

    def __init__(self, source: Readable) -> None:
        self._source, self._at = source, 0

    def tell(self) -> int:
        return self._at

    def seek(self, position: int) -> None:
        if position < self._at:
            raise tarfile.ReadError("an entry begins inside another one")
        while self._at < position:
            if not self.read(min(position - self._at, _MAX_READ_BYTES)):
                return

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MAX_READ_BYTES:
            raise tarfile.ReadError("a header of this size is not valid")
        found = self._source.read(size)
        while len(found) < size and (more := self._source.read(size - len(found))):
            found += more
        self._at += len(found)
        return found


def _decompressed(source: io.BufferedReader[Any], where: str) -> Readable:
    head = source.peek(4)
    if head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=source, mode="rb")
    return _Zstd(source, where) if head.startswith(_ZSTD) else source


class _Zstd:
    def __init__(self, source: IO[bytes], where: str) -> None:
        try:
            import zstandard
        except ImportError:
            raise ModelRefused(
                f"{where} is compressed with Zstandard, which needs the Python package zstandard: "
                "install it, or decompress the file with 'zstd -d'"
            ) from None
        self._error = zstandard.ZstdError
        self._reader = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW).stream_reader(
            source, read_across_frames=True, closefd=False
        )

    def read(self, size: int, /) -> bytes:
        try:
            return self._reader.read(size)
        except self._error as e:
            raise EOFError from e


def unpack_bundle(file: Path, folder: Path, report: Report) -> Manifest:
    """Unpack a bundle into an empty folder, and verify it. Raises ModelRefused."""
    with file.open("rb") as source, entries(source, file.name) as found:
        first = next(found, None)
        made = _manifest(first, file)
        report(f"unpacking {len(made.files)} files, {made.size / 1e9:,.1f} GB, from {file.name}")
        require_space(folder, made.size)
        missing = {f"{made.folder}/{listed.path}": listed for listed in made.files}
        for entry in found:
            listed = missing.pop(str(entry.path), None)
            if listed is None or not entry.is_file:
                what = "does not list" if entry.is_file else "cannot contain: not a regular file"
                raise ModelRefused(
                    f"{file.name} contains {str(entry.path)[:100]!r}, which its manifest {what}. "
                    "It was changed after it was made: make it again"
                )
            checksum = Checksum(listed.size, listed.sha256)
            write(folder / listed.path, entry.chunks, checksum)
            checksum.verify(listed.path, file.name)
    if missing:
        raise ModelRefused(f"{file.name} is cut off: {min(missing)} is missing. Copy it again")
    return made


def _manifest(first: Entry | None, file: Path) -> Manifest:
    if first is None or first.path.name != MANIFEST or first.size > MAX_MANIFEST_BYTES:
        is_oci = first is not None and first.path.parts[0] in _OCI
        how = (
            f"it is an archive of an OCI layout: unpack it (mkdir layout && tar -xf {file.name} "
            "-C layout), and add the folder"
            if is_oci
            else "unpack it, and add the folder of the model"
        )
        raise ModelRefused(f"{file.name} was not made by 'finetuned-server models bundle'; {how}")
    return parse_manifest(b"".join(first.chunks), file.name)
