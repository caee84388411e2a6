"""Write bundles: one tar file with a model and its manifest, for a machine without a network.

The manifest is the first entry, so that a bundle is unpacked and verified in one pass. The same
files give the same bytes: entries are sorted and have no times or owners.
"""

from __future__ import annotations

import dataclasses
import io
import os
import re
import tarfile
from pathlib import Path
from typing import Final

from service.core.local_disk import sync_folder
from service.models.model_folder import ModelRefused, check_folder, folder_fault
from service.models.sources.detect import find, read_card
from service.models.sources.files import CHUNK_BYTES, MANIFEST, Checksum, HashedReader
from service.models.sources.manifest import FoundModel, Manifest, ModelFile, Report
from service.models.sources.staging import disk_errors, require_space

_SUFFIX: Final = ".tar"
_NAME: Final = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", re.ASCII)


def bundle_model(
    source: Path,
    output: Path,
    name: str | None = None,
    license_id: str | None = None,
    revision: str | None = None,
    *,
    report: Report,
) -> Manifest:
    """Write the bundle of a model that `models add` would accept. Raises ModelRefused."""
    found = find(source, revision)
    check_folder(found.card_folder, [found.card_folder / file.path for file in found.files])
    if fault := folder_fault(found.card_folder):
        raise ModelRefused(fault)
    if name is not None:
        if not _NAME.fullmatch(name):
            raise ModelRefused("--name is NAME or ORG/NAME, with letters, digits, '.', '_' and '-'")
        found = dataclasses.replace(found, name=name)
    return _bundle(found, output, license_id=license_id, report=report)


def _bundle(found: FoundModel, output: Path, *, license_id: str | None, report: Report) -> Manifest:
    """Write a model's bundle, which appears complete or not at all."""
    if output.suffix != _SUFFIX:
        raise ModelRefused(f"{output.name} must end in {_SUFFIX}: weights cannot be compressed")
    if output.exists():
        raise ModelRefused(f"{output} exists: remove it, or choose another name")
    output.parent.mkdir(parents=True, exist_ok=True)
    require_space(output.parent, sum(file.size for file in found.files))
    report(found.describe("reading"))
    made = Manifest(
        name=found.name,
        revision=found.revision,
        license=license_id or read_card(found.card_folder).license,
        files=tuple(
            ModelFile(path=file.path, size=file.size, sha256=file.digest()) for file in found.files
        ),
    )
    part = output.with_name(f".{output.name}.part")
    report(f"writing {output}")
    try:
        with disk_errors(output.parent), part.open("wb") as out:
            _write(found, made, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, output)
        sync_folder(output.parent)
    finally:
        part.unlink(missing_ok=True)
    return made


def _write(found: FoundModel, made: Manifest, out: io.BufferedWriter) -> None:
    content = made.encoded()
    with tarfile.TarFile(
        fileobj=out, mode="w", format=tarfile.PAX_FORMAT, copybufsize=CHUNK_BYTES
    ) as tar:
        tar.addfile(_header(made, MANIFEST, len(content)), io.BytesIO(content))
        for source, listed in zip(found.files, made.files, strict=True):
            checksum = Checksum(listed.size, listed.sha256)
            with source.file.open("rb") as opened:
                hashed = io.BufferedReader(HashedReader(opened, checksum), CHUNK_BYTES)
                tar.addfile(_header(made, listed.path, listed.size), hashed)
            checksum.verify(listed.path, found.name)


def _header(made: Manifest, path: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(f"{made.folder}/{path}")
    entry.size, entry.mode = size, 0o644
    return entry
