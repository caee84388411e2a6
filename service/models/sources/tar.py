"""Read tar archives from outside, plain or compressed, in one pass.

Nothing is extracted by an archive's own paths: callers choose where to write. tarfile's own streams
are not used, because they read a header's extensions in one piece, whose size the archive states.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any, Final, NamedTuple, Protocol, cast

from service.models.inspect import ModelRefused
from service.models.sources.digests import CHUNK_BYTES
from service.models.sources.names import checked_path

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
        path = checked_path(info.name, where)
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
