"""Unpack the archive of a PEFT LoRA folder, and keep what belongs to an adapter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

import msgspec

from service.datasets.adapters.archive import Member, opened
from service.datasets.adapters.differences import differences
from service.datasets.adapters.weights import check_weights
from service.datasets.checks.issues import shown
from service.datasets.contract import UnpackedAdapter
from service.datasets.errors import refuse
from service.datasets.limits import MAX_ADAPTER_CONFIG_BYTES

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_MIB = 1024 * 1024
# The files that are kept, and the maximum size of each in bytes. None: only the archive's limit.
_KEPT: dict[str, int | None] = {
    CONFIG: MAX_ADAPTER_CONFIG_BYTES,
    WEIGHTS: None,
    "README.md": _MIB,
    "tokenizer.json": 64 * _MIB,
    "tokenizer_config.json": 8 * _MIB,
    "chat_template.jinja": _MIB,
}
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
# Transformers writes it next to every model. It is skipped like all files that are not kept.
_HARMLESS = "training_args.bin"
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
    with opened(archive, scratch, max_bytes=max_bytes) as members:
        kept, skipped = _keep(members, scratch)
    files = _adapter_of(kept)
    out.mkdir()
    for name, path in files.items():
        path.rename(out / name)
    config = _config(out / CONFIG)
    check_weights(out / WEIGHTS)
    given = config.get("base_model_name_or_path")
    trained_on = given[:256] if isinstance(given, str) and given else None
    findings = differences(out, base, given=trained_on, base_name=base_name)
    return UnpackedAdapter(trained_on, sorted(files), skipped, findings)


def _keep(members: Iterator[Member], scratch: Path) -> tuple[dict[PurePosixPath, Path], int]:
    """Write the files of adapters under numbers; return them by path, and the others' number."""
    seen: set[PurePosixPath] = set()
    kept: dict[PurePosixPath, Path] = {}
    for member in members:
        name = member.path.name
        if member.path in seen:
            raise refuse("archive_twice", name=shown(str(member.path)))
        seen.add(member.path)
        if member.path.suffix.lower() in _PICKLES and name != _HARMLESS:
            raise refuse("adapter_pickle", name=shown(name))
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


def _adapter_of(kept: dict[PurePosixPath, Path]) -> dict[str, Path]:
    """Return the files of the only adapter, by name."""
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
