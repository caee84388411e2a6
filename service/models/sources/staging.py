"""Assembles a model in a hidden folder, and publishes it once it is complete."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from service.config import GIB
from service.core.local_disk import sync_folder, sync_tree
from service.models.model_folder import ModelRefused
from service.models.sources.files import CHUNK_BYTES, MANIFEST, Checksum
from service.models.sources.manifest import Manifest, read_manifest, verify_files

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def stage_folder(target: Path, name: str) -> Iterator[Path]:
    """Create an empty folder called `name`, in a hidden folder next to `target`.

    It is deleted on exit, and so are leftovers of a killed process for the same target. Raises
    ModelRefused if another process works on it, or if the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelRefused(
                f"another 'models add' is making {target}: wait until it has ended"
            ) from None
        try:
            shutil.rmtree(part, ignore_errors=True)
            folder = part / name
            folder.mkdir(parents=True)
            with disk_errors(target.parent):
                yield folder
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Raise ModelRefused if the disk with `folder` becomes full or limits file sizes."""
    try:
        yield
    except OSError as e:
        if e.errno in _FULL:
            raise ModelRefused(
                f"the disk with {folder} is full: free some space, or use a folder on another disk"
            ) from e
        if e.errno == errno.EFBIG:
            raise ModelRefused(
                f"the disk with {folder} cannot hold a file of this size. FAT32, as on many USB "
                "sticks, holds files up to 4 GiB: format it as exFAT or ext4"
            ) from e
        raise


def require_space(folder: Path, needed: int) -> None:
    """Raise ModelRefused if the disk with `folder` has less free space than `needed` bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ModelRefused(
            f"{needed / GIB:,.1f} GiB are needed in {folder}, and {free / GIB:,.1f} GiB are free: "
            "free some space, or use a folder on another disk"
        )


def write(target: Path, chunks: Iterable[bytes], checksum: Checksum) -> None:
    """Write a file from chunks, and add them to its checksum."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as out:
        for chunk in chunks:
            out.write(chunk)
            checksum.update(chunk)


def link_or_copy(source: Path, target: Path, checksum: Checksum) -> None:
    """Hard-link a file of a store to `target`, or copy it. Reads its bytes once, for the checksum.

    Files of another user are copied, because that user could change them later.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if source.stat().st_uid != os.geteuid():
            raise PermissionError
        target.hardlink_to(source)
    except OSError:
        with source.open("rb") as opened:
            write(target, iter(lambda: opened.read(CHUNK_BYTES), b""), checksum)
        return
    with target.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            checksum.update(chunk)


def publish(folder: Path, target: Path, made: Manifest) -> None:
    """Rename a complete folder to its target, after it was synced to disk.

    A target that exists was left by a killed process, or the catalog lost its entry. It is kept if
    it has the same files. Raises ModelRefused otherwise.
    """
    (folder / MANIFEST).write_bytes(made.encoded())
    sync_tree(folder)
    if target.exists():
        if read_manifest(target) != made:
            raise ModelRefused(
                f"{target} exists and has other files: remove the folder if no model of the "
                "catalog is there, or choose another --id"
            )
        verify_files(target, made)
        return
    folder.rename(target)
    sync_folder(target.parent)
