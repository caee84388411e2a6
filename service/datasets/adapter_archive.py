"""Unpacks archives of PEFT adapters within limits, and compares them with the base model.

Only plain files with a path inside the archive are read, and only safetensors with floating point
tensors are accepted.
"""

from __future__ import annotations

import contextlib
import math
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Any, NamedTuple, NoReturn

import msgspec

from service.datasets.checks.issues import DatasetError, Issue, make_issue, printable, refuse
from service.datasets.contract.tasks import UnpackedAdapter
from service.datasets.formats.decompression import compression_of, is_of_disk, unpack
from service.datasets.formats.options import FormatOptions
from service.datasets.limits import MAX_ADAPTER_CONFIG_BYTES

MAX_ENTRIES = 1000
_MAX_PATH_CHARS, _MAX_DEPTH = 512, 8
# tarfile reads a header's extensions into memory, and the archive states their size.
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
    """A plain file in an archive. `size` is the number of bytes that the archive states."""

    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]


@contextlib.contextmanager
def open_archive(archive: Path, scratch: Path, *, max_bytes: int) -> Iterator[Iterator[Member]]:
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
    """A file that refuses large reads."""

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
        path = _safe_path(info.name)
        if info.issym() or info.islnk():
            raise refuse("archive_link", name=printable(info.name))
        if info.isdir():
            yield None
            continue
        if not info.isreg() or info.issparse():
            raise refuse("archive_special", name=printable(info.name))

        def read(info: tarfile.TarInfo = info) -> IO[bytes]:
            content = tar.extractfile(info)
            assert content is not None  # a plain file
            return content

        yield Member(path, info.size, read)


def _zip_members(archive: zipfile.ZipFile) -> Iterator[Member | None]:
    for info in archive.infolist():
        path = _safe_path(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind == stat.S_IFLNK:
            raise refuse("archive_link", name=printable(info.filename))
        if info.is_dir():
            yield None
            continue
        if kind not in (0, stat.S_IFREG):
            raise refuse("archive_special", name=printable(info.filename))
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _ZIP_METHODS:
            raise refuse("archive_compression", name=printable(info.filename))

        def read(info: zipfile.ZipInfo = info) -> IO[bytes]:
            return archive.open(info)

        yield Member(path, info.file_size, read)


def _safe_path(name: str) -> PurePosixPath:
    """Return an entry's path. Raises DatasetError if it could lead out of the archive."""
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
        raise refuse("archive_path", name=printable(name))
    return path


# Parts of tokenizer.json that decide how a text is tokenized. Padding and truncation are settings
# of the training.
_TOKENIZER_PARTS = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model")


def compare_with_base(
    adapter: Path, base: Path, *, given: str | None, base_name: str
) -> list[Issue]:
    """Return how an adapter's folder differs from the folder of the base model it is for.

    `given` is the base model that the adapter's configuration names.
    """
    found = []
    if given is not None and (name := _model_name(given)).lower() != _model_name(base_name).lower():
        found.append(make_issue("base_name_differs", given=printable(name), base=base_name))
    return [*found, *_compare_tokenizers(adapter, base), *_compare_templates(adapter, base)]


def _model_name(path: str) -> str:
    """Return the last part of a model's name or path."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _compare_tokenizers(adapter: Path, base: Path) -> list[Issue]:
    ours, theirs = (_json(folder / "tokenizer.json") for folder in (base, adapter))
    if theirs is None or ours is None:
        return [make_issue("tokenizer_not_compared")]
    parts = [
        part
        for part in _TOKENIZER_PARTS
        if _normalize_part(part, ours) != _normalize_part(part, theirs)
    ]
    return [make_issue("tokenizer_differs", parts=", ".join(parts))] if parts else []


def _normalize_part(part: str, tokenizer: dict[str, Any]) -> object:
    """Return a part in a form that does not depend on the version that wrote it."""
    value = tokenizer.get(part)
    if part == "model" and isinstance(value, dict):
        merges = value.get("merges")
        if isinstance(merges, list):
            # Newer versions write pairs.
            joined = [" ".join(map(str, m)) if isinstance(m, list) else m for m in merges]
            value = {**value, "merges": joined}
        return {key: inner for key, inner in value.items() if inner not in (None, False)}
    return value


def _compare_templates(adapter: Path, base: Path) -> list[Issue]:
    theirs = _template_of(adapter)
    if theirs is None:
        return [make_issue("template_not_compared")]
    ours = _template_of(base)
    return [] if ours == theirs else [make_issue("template_differs")]


def _template_of(folder: Path) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8", errors="replace").strip()
    config = _json(folder / "tokenizer_config.json") or {}
    found = config.get("chat_template")
    return found.strip() if isinstance(found, str) else None


def _json(file: Path) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_LENGTH_BYTES = 8
# A header has about 150 bytes per tensor; a large mixture of experts has 40,000 of them.
_MAX_HEADER_BYTES = 16 * 1024 * 1024
_BYTES_OF = {"F32": 4, "F16": 2, "BF16": 2}
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Tensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: Annotated[list[_Count], msgspec.Meta(max_length=8)]
    data_offsets: tuple[_Count, _Count]


def check_weights(file: Path) -> None:
    """Raise DatasetError unless the file is complete and has only floating point tensors.

    The tensors must fill the file without gaps, in the types that adapters are trained in.
    """
    size = file.stat().st_size
    with file.open("rb") as source:
        start = source.read(_LENGTH_BYTES)
        if len(start) < _LENGTH_BYTES:
            _invalid("it is too short")
        (length,) = struct.unpack("<Q", start)
        if length > _MAX_HEADER_BYTES:
            _invalid("its header is too long")
        tensors = _tensors(source.read(length))
    end = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: tensor.data_offsets):
        if tensor.dtype not in _BYTES_OF:
            raise refuse("adapter_weights_type", dtype=tensor.dtype[:16])
        first, last = tensor.data_offsets
        if first != end or last - first != math.prod(tensor.shape) * _BYTES_OF[tensor.dtype]:
            _invalid("the offsets of its tensors do not match their shapes")
        end = last
    whole = _LENGTH_BYTES + length + end
    if size != whole:
        raise refuse("adapter_weights_cut_off", size=size, whole=whole)


def _tensors(header: bytes) -> dict[str, _Tensor]:
    try:
        entries = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        entries.pop("__metadata__", None)
        return {name: msgspec.json.decode(raw, type=_Tensor) for name, raw in entries.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        _invalid("its header cannot be read")


def _invalid(reason: str) -> NoReturn:
    raise refuse("adapter_weights_invalid", reason=reason)


CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_MIB = 1024 * 1024
# The files to keep, with the maximum size of each in bytes. None: only the limit of the archive.
_KEPT: dict[str, int | None] = {
    CONFIG: MAX_ADAPTER_CONFIG_BYTES,
    WEIGHTS: None,
    "README.md": _MIB,
    "tokenizer.json": 64 * _MIB,
    "tokenizer_config.json": 8 * _MIB,
    "chat_template.jinja": _MIB,
}
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
# Transformers writes this pickle next to every model. It is skipped, not loaded.
_SKIPPED_PICKLE = "training_args.bin"
_CHUNK_BYTES = 256 * 1024


def unpack_adapter(
    archive: Path, out: Path, *, base: Path, base_name: str, max_bytes: int
) -> UnpackedAdapter:
    """Unpack an adapter's files into the new folder `out`, and compare them with the base model.

    `base` is the base model's folder and `base_name` its name. Raises DatasetError if the archive
    is unsafe or damaged, or if it does not hold exactly one adapter in safetensors form.
    """
    scratch = out.with_name(f"{out.name}-scratch")
    scratch.mkdir()
    with open_archive(archive, scratch, max_bytes=max_bytes) as members:
        kept, skipped = _keep(members, scratch)
    files = _find_adapter(kept)
    out.mkdir()
    for name, path in files.items():
        path.rename(out / name)
    config = _config(out / CONFIG)
    check_weights(out / WEIGHTS)
    given = config.get("base_model_name_or_path")
    trained_on = given[:256] if isinstance(given, str) and given else None
    findings = compare_with_base(out, base, given=trained_on, base_name=base_name)
    return UnpackedAdapter(trained_on, sorted(files), skipped, findings)


def _keep(members: Iterator[Member], scratch: Path) -> tuple[dict[PurePosixPath, Path], int]:
    """Write the files of adapters to `scratch`. Returns them by path, and how many were skipped."""
    seen: set[PurePosixPath] = set()
    kept: dict[PurePosixPath, Path] = {}
    for member in members:
        name = member.path.name
        if member.path in seen:
            raise refuse("archive_twice", name=printable(str(member.path)))
        seen.add(member.path)
        if member.path.suffix.lower() in _PICKLES and name != _SKIPPED_PICKLE:
            raise refuse("adapter_pickle", name=printable(name))
        if name not in _KEPT:
            continue
        limit = _KEPT[name]
        if limit is not None and member.size > limit:
            raise refuse("adapter_file_too_large", name=name, limit=limit)
        target = kept[member.path] = scratch / str(len(kept))
        with member.open() as source, target.open("xb") as sink:
            _copy(source, sink, member.size)
    return kept, len(seen) - len(kept)


def _copy(source: IO[bytes], sink: IO[bytes], size: int) -> None:
    """Copy a member. Raises DatasetError if it does not have the size that its header states."""
    written = 0
    while chunk := source.read(_CHUNK_BYTES):
        written += sink.write(chunk)
        if written > size:
            break
    if written != size:
        raise refuse("damaged_archive", kind="archive's")


def _find_adapter(kept: dict[PurePosixPath, Path]) -> dict[str, Path]:
    """Return the files of the adapter, by name. Raises DatasetError unless there is exactly one."""
    folders = [path.parent for path in kept if path.name == CONFIG]
    if not folders:
        raise refuse("no_adapter")
    if len(folders) > 1:
        raise refuse("several_adapters", count=len(folders))
    files = {path.name: file for path, file in kept.items() if path.parent == folders[0]}
    if WEIGHTS not in files:
        raise refuse("no_adapter_weights")
    return files


def _config(file: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refuse("adapter_config_invalid") from error
