"""The one data file in a ZIP or TAR archive, within limits."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.errors import DatasetError, refuse
from service.datasets.formats.options import FormatOptions
from service.datasets.formats.unpack import BLOCK, ZIP_DAMAGE, is_of_disk, write_within

_MAX_MEMBERS = 10_000
_DATA = frozenset(
    [
        *(".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".tab", ".parquet", ".xlsx"),
        *(".gz", ".zst", ".bz2", ".xz"),
    ]
)
_TAR_MAGIC_AT = 257
_DAMAGE = (*ZIP_DAMAGE, tarfile.TarError)


def archive_of(path: Path) -> str | None:
    """Return `zip` or `tar` if a file is an archive of files, and None for a workbook."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK\x03\x04"):
        return None if _is_document(path) else "zip"
    return "tar" if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar" else None


def extract(path: Path, out: Path, kind: str, options: FormatOptions, log: IssueLog) -> None:
    """Write the data file of an archive to `out`, and report how many other files it has.

    Raises DatasetError if the archive is damaged, holds no data file or several, or unpacks to
    too many bytes, and OSError if the disk is full.
    """
    limit = options.limit_bytes(path.stat().st_size)
    try:
        with (
            _members(path, kind) as (names, open_member),
            open_member(_chosen(names, log)) as source,
        ):
            write_within(limit, iter(partial(source.read, BLOCK), b""), out, options)
    except DatasetError:
        raise
    except _DAMAGE as error:
        if is_of_disk(error):
            raise
        raise refuse("damaged_archive", kind=kind.upper()) from error


@contextmanager
def _members(path: Path, kind: str) -> Iterator[tuple[list[str], Any]]:
    """Open an archive, and give the names of its files and the function that opens one."""
    if kind == "zip":
        with zipfile.ZipFile(path) as packed:
            names = [info.filename for info in packed.infolist() if not info.is_dir()]
            yield names[:_MAX_MEMBERS], packed.open
        return
    with tarfile.open(path, "r:") as packed:
        files: dict[str, tarfile.TarInfo] = {}
        for member in packed:
            if member.isreg() and len(files) < _MAX_MEMBERS:
                files[member.name] = member
        yield list(files), lambda name: _opened(packed.extractfile(files[name]))


def _opened(file: IO[bytes] | None) -> IO[bytes]:
    if file is None:
        raise tarfile.TarError
    return file


def _chosen(names: list[str], log: IssueLog) -> str:
    """Return the only file, or the only one with the name of a data file. Hidden files are none."""
    seen = [name for name in names if not _is_hidden(PurePosixPath(name))]
    data = [name for name in seen if PurePosixPath(name).suffix.lower() in _DATA] or seen
    if len(data) > 1:
        raise refuse("several_files", count=len(data))
    if not data:
        raise refuse("unknown_format")
    if len(seen) > 1:
        log.add(make_issue("other_files", count=len(seen) - 1))
    return data[0]


def _is_hidden(name: PurePosixPath) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.parts)


def _is_document(path: Path) -> bool:
    """Whether a ZIP archive is the file of an office program, such as a workbook."""
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
    except ZIP_DAMAGE:
        return True  # it is refused as an unknown format
    return any(name in names for name in ("[Content_Types].xml", "xl/workbook.xml", "mimetype"))
