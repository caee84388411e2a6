"""Decompresses files, and extracts the data file of a ZIP or TAR archive, within limits."""

from __future__ import annotations

import bz2
import errno
import gzip
import json
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, Literal

import zstandard

from service.datasets.checks.issues import DatasetError, IssueLog, make_issue, printable, refuse
from service.datasets.formats.chat_apps import at_path, objects
from service.datasets.formats.documents import ZIP_DAMAGE, zip_kind
from service.datasets.formats.options import FormatOptions
from service.datasets.rows.lines import parse

Compression = Literal["gzip", "zstd", "bzip2", "xz"]

BLOCK = 256 * 1024
_MAX_ZSTD_WINDOW = 128 * 1024**2
_MAX_XZ_MEMORY_BYTES = 256 * 1024**2
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


def compression_of(head: bytes) -> Compression | None:
    """Detect the compression from a file's first bytes."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    if head.startswith(b"BZh"):
        return "bzip2"
    return "xz" if head.startswith(b"\xfd7zX") else None


def unpack(path: Path, out: Path, compression: Compression, options: FormatOptions) -> int:
    """Unpack `path` to `out` and return the number of bytes written.

    Raises DatasetError if the data is damaged, or if it exceeds the limit on size or
    expansion, and OSError if the disk is full.
    """
    limit = options.limit_bytes(path.stat().st_size)
    with path.open("rb") as source:
        try:
            return write_within(limit, _READERS[compression](source), out, options)
        except (zlib.error, zstandard.ZstdError, lzma.LZMAError, OSError, EOFError) as error:
            if is_of_disk(error):
                raise
            raise refuse("damaged_archive", kind=compression) from error


def is_of_disk(error: Exception) -> bool:
    """Return whether an error is due to a full or broken disk rather than to the data."""
    return isinstance(error, OSError) and error.errno in _DISK_ERRORS


def write_within(limit: int, blocks: Iterable[bytes], out: Path, options: FormatOptions) -> int:
    """Write unpacked blocks to `out` and return the number of bytes.

    Raises DatasetError if there are more than `limit` bytes.
    """
    written = 0
    with out.open("wb") as target:
        for block in blocks:
            written += target.write(block)
            if written > limit:
                raise unpacks_too_much(limit, options)
    return written


def unpacks_too_much(limit: int, options: FormatOptions) -> DatasetError:
    """Create the error for a file that unpacks to more than `limit` bytes."""
    if limit == options.max_unpacked_bytes:
        return refuse("unpacks_too_large", limit=limit)
    return refuse("unpacks_too_far", limit=options.max_expansion)


def _gunzip(source: BinaryIO) -> Iterator[bytes]:
    return iter(partial(gzip.GzipFile(fileobj=source).read, BLOCK), b"")


def _unzstd(source: BinaryIO) -> Iterator[bytes]:
    reader = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW).stream_reader(
        source, read_across_frames=True, closefd=False
    )
    with reader:
        while block := reader.read(BLOCK):
            yield block


def _unbzip2(source: BinaryIO) -> Iterator[bytes]:
    return _members(source, bz2.BZ2Decompressor)


def _unxz(source: BinaryIO) -> Iterator[bytes]:
    return _members(source, lambda: lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY_BYTES))


def _members(
    source: BinaryIO, start: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]
) -> Iterator[bytes]:
    """Decompress all members of a file. Zeros after the last one are padding."""
    member = start()
    data = source.read(BLOCK)
    while data or not member.eof:
        if member.eof:
            if not data.strip(b"\0"):
                data = source.read(BLOCK)
                continue
            member = start()
        if not data and member.needs_input and not (data := source.read(BLOCK)):
            raise EOFError
        if block := member.decompress(data, BLOCK):
            yield block
        data = member.unused_data if member.eof else b""
        if member.eof and not data:
            data = source.read(BLOCK)


_READERS: dict[Compression, Callable[[BinaryIO], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "zstd": _unzstd,
    "bzip2": _unbzip2,
    "xz": _unxz,
}


_MAX_MEMBERS = 10_000
_DATA = frozenset(
    [
        *(
            ".jsonl",
            ".ndjson",
            ".json",
            ".csv",
            ".tsv",
            ".tab",
            ".parquet",
            ".xlsx",
            ".xls",
            ".ods",
        ),
        *(".gz", ".zst", ".bz2", ".xz", ".mbox"),
    ]
)
_NUMBER = re.compile(r"\d+")
_MAX_LISTED = 10
_PHRASES = re.compile(r"_usersays_[\w-]+\.json\Z")
_SLACK_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\.json")
# The conversations in the exports of ChatGPT (large ones are in several files) and claude.ai, of
# Messenger and Instagram, of WhatsApp, and of Anki, the newest first. Their other files hold
# accounts, settings and pictures.
_PART = re.compile(r"(?:conversations(?:-\d+)?|message_\d+)\.json")
_CONVERSATIONS = (
    _PART,
    re.compile(r"_chat\.txt|.*WhatsApp.*\.txt"),
    *(re.compile(rf"collection\.{kind}") for kind in ("anki21b", "anki21", "anki2")),
)
_TAR_MAGIC_AT = 257
_DAMAGE = (*ZIP_DAMAGE, tarfile.TarError)


def archive_of(path: Path) -> str | None:
    """Return `zip` or `tar` if a file is an archive, or None. A workbook is not an archive."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"PK\x03\x04"):
        return None if _is_document(path) else "zip"
    return "tar" if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar" else None


def extract(
    path: Path, out: Path, kind: str, options: FormatOptions, log: IssueLog
) -> dict[str, Path]:
    """Write the data file of an archive to `out`, and log how many other files it has.

    The days of a Slack channel are joined: their arrays follow each other. If it is not clear which
    one is the data file, each one is written to a file of its own beside `out`. Returns the files
    by their names. Raises DatasetError if the archive is damaged, holds no data file, or unpacks to
    too many bytes, and OSError if the disk is full.
    """
    limit = options.limit_bytes(path.stat().st_size)
    written: dict[str, Path] = {}
    try:
        with _archive_members(path, kind) as (names, open_member):
            for at, chosen in enumerate(_choose_members(names, log)):
                target = out.with_name(f"{out.name}-{at}") if at else out
                with closing(_read_members(chosen, open_member)) as blocks:
                    limit -= write_within(limit, blocks, target, options)
                written[chosen[0]] = target
    except DatasetError:
        raise
    except _DAMAGE as error:
        if is_of_disk(error):
            raise
        raise refuse("damaged_archive", kind=kind.upper()) from error
    return written


@contextmanager
def _archive_members(path: Path, kind: str) -> Iterator[tuple[list[str], Any]]:
    """Open an archive. Yields the names of its files, and a function that opens one."""
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
        yield list(files), lambda name: _require_file(packed.extractfile(files[name]))


def _require_file(file: IO[bytes] | None) -> IO[bytes]:
    if file is None:
        raise tarfile.TarError
    return file


def _choose_members(names: list[str], log: IssueLog) -> list[list[str]]:
    """Return the files to read: those of a list are parts of one.

    These are the visible files with the suffix of a data file, or all if none has one. From the
    export of an app, they are the conversations, and from a folder of Slack's, which has a file a
    day, all days.
    """
    seen = [name for name in names if not _is_hidden(PurePosixPath(name))]
    files = {name: PurePosixPath(name) for name in seen}
    days = sorted(name for name in seen if _SLACK_DAY.fullmatch(files[name].name))
    channels = {files[name].parent for name in days}
    if len(channels) > 1:
        raise refuse("several_channels", count=len(channels))
    named = (
        sorted(name for name in seen if pattern.fullmatch(files[name].name))
        for pattern in _CONVERSATIONS
    )
    data = [name for name in seen if files[name].suffix.lower() in _DATA] or seen
    if not data:
        raise refuse("unknown_format")
    groups: dict[Any, list[str]] = {}
    for name in next(filter(None, named), data):
        is_part = _PART.fullmatch(files[name].name) is not None
        groups.setdefault(files[name].parent if is_part else name, []).append(name)
    chosen = list(groups.values())
    if days:
        chosen = [[*days, *(name for name in seen if files[name].name == "users.json")]]
    elif phrases := [name for name in seen if _PHRASES.search(name)]:
        chosen = _intents(phrases, seen)
    if len(seen) > (count := sum(map(len, chosen))):
        log.add(make_issue("other_files", count=len(seen) - count))
    if len({_NUMBER.sub("", name) for name, *_ in chosen}) == 1:
        chosen.sort(key=lambda part: (len(part[0]), part[0]))
    return chosen


def several_files(names: Iterable[str]) -> DatasetError:
    """Create the error for an archive with several data files that do not belong together."""
    listed = [printable(PurePosixPath(name).name) for name in names]
    shown = ", ".join(listed[:_MAX_LISTED]) + ", …" * (len(listed) > _MAX_LISTED)
    return refuse("several_files", count=len(listed), names=shown)


def _intents(phrases: list[str], names: list[str]) -> list[list[str]]:
    """Return the files of Dialogflow's intents: the phrases of each, and its answers."""
    found = [[name, _PHRASES.sub(".json", name)] for name in phrases]
    return [pair for pair in found if pair[1] in names]


def _read_members(names: list[str], open_member: Any) -> Generator[bytes]:
    if _PHRASES.search(names[0]):
        yield _intent(*(parse(open_member(name).read())[0] for name in names))
        return
    for name in names:
        with open_member(name) as source:
            yield from iter(partial(source.read, BLOCK), b"")
        if name.endswith("l"):  # JSON Lines, whose last line may not end
            yield b"\n"


def _intent(phrases: Any, intent: Any) -> bytes:
    """Return an intent of Dialogflow as JSON: its phrases, and its answers."""
    asked = [
        "".join(str(part.get("text")) for part in objects(p.get("data"))) for p in objects(phrases)
    ]
    given = [
        one
        for answer in objects(at_path(intent, "responses"))
        for one in objects(answer.get("messages"))
    ]
    said = [text for one in given for text in (one.get("speech") or ())]
    return json.dumps({"patterns": asked, "responses": said}).encode()


def _is_hidden(name: PurePosixPath) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.parts)


def _is_document(path: Path) -> bool:
    """Return whether a ZIP archive is an office document, such as a workbook."""
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
    except ZIP_DAMAGE:
        return True  # later refused as an unknown format
    return zip_kind(path) is not None or any(
        name in names for name in ("[Content_Types].xml", "xl/workbook.xml", "mimetype")
    )
