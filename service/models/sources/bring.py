"""Recognize what a source is, and bring its model into the folder of models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from service.models.inspect import ModelRefused
from service.models.sources import hub_cache, manifest, oci
from service.models.sources.digests import Checksum
from service.models.sources.folder import find_in_folder
from service.models.sources.found import FoundModel, Report, listed
from service.models.sources.manifest import Manifest, ModelFile
from service.models.sources.read_bundle import unpack_bundle
from service.models.sources.staging import publish, require_space, staged, take

_ARCHIVE: Final = re.compile(r"\.(?:tar|tgz)(?:\.\w+)?$")


@dataclass(frozen=True)
class Brought:
    """A model in a folder. `keep` gives the folder its final place and returns that."""

    folder: Path
    license: str | None
    keep: Callable[[], Path]


def find(source: Path, revision: str | None) -> FoundModel:
    """Find the model in a folder or in a Hugging Face cache. Raises ModelRefused."""
    repository = hub_cache.repository(source)
    if repository is not None:
        return hub_cache.find_in_cache(source, repository, revision)
    if oci.is_layout(source):
        raise ModelRefused(f"{source} is an OCI layout, which needs no bundle: add it as it is")
    _require_no_revision(source, revision)
    if not source.is_dir():
        raise ModelRefused(f"there is no folder {source}")
    return find_in_folder(source)


def _require_no_revision(source: Path, revision: str | None) -> None:
    if revision is not None:
        raise ModelRefused(
            f"{source} has one revision, so --revision {revision} does not apply: it is for "
            "Hugging Face caches and OCI layouts"
        )


@contextmanager
def brought(source: Path, target: Path, revision: str | None, report: Report) -> Iterator[Brought]:
    """Bring a model to this machine's disk and verify it, but do not keep it yet.

    A plain folder is used in place. Everything else is unpacked next to `target`, which appears
    with `keep`. Raises ModelRefused.
    """
    repository = hub_cache.repository(source)
    if source.is_file():
        _require_no_revision(source, revision)
        with staged(target, _ARCHIVE.sub("", source.name)) as folder:
            made = unpack_bundle(source, folder, report)
            yield _staged(folder, target, made)
    elif repository is not None:
        found = hub_cache.find_in_cache(source, repository, revision)
        with staged(target, found.name.replace("/", "--")) as folder:
            yield _staged(folder, target, _take_all(found, folder, report))
    elif oci.is_layout(source):
        with staged(target, source.resolve().name) as folder:
            made, left_out = oci.unpack_layout(source, folder, revision, report)
            if left_out:
                report(f"left out {listed(left_out)}")
            yield _staged(folder, target, made)
    else:
        _require_no_revision(source, revision)
        yield _in_place(source.resolve(), report)


def _staged(folder: Path, target: Path, made: Manifest) -> Brought:
    def keep() -> Path:
        publish(folder, target, made)
        return target

    return Brought(folder, made.license, keep)


def _in_place(folder: Path, report: Report) -> Brought:
    """Use a folder where it is. `keep` verifies its files, if their digests were noted once."""
    if not folder.is_dir():
        raise ModelRefused(f"there is no file or folder {folder}")
    made = manifest.read(folder)

    def keep() -> Path:
        known = [file for file in find_in_folder(folder).files if file.known]
        if known:
            size = sum(file.size for file in known)
            report(f"verifying {len(known)} files, {size / 1e9:,.1f} GB")
        if made is not None:
            manifest.verify(folder, made)
        else:
            for file in known:
                file.digest()
        return folder

    return Brought(folder, made.license if made else None, keep)


def _take_all(found: FoundModel, folder: Path, report: Report) -> Manifest:
    report(found.in_words("verifying and taking over"))
    is_same_disk = found.card_folder.stat().st_dev == folder.stat().st_dev
    if not is_same_disk:
        require_space(folder, sum(file.size for file in found.files))
    files = []
    for file in found.files:
        checksum = Checksum(file.size, file.known)
        take(file.file, folder / file.path, checksum)
        digest = checksum.checked(file.path, file.where)
        files.append(ModelFile(path=file.path, size=file.size, sha256=digest))
    return Manifest(name=found.name, revision=found.revision, files=tuple(files))
