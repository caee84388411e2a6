"""Read bundles, which `models bundle` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from service.models.inspect import ModelRefused
from service.models.sources import manifest
from service.models.sources.digests import Checksum
from service.models.sources.found import Report
from service.models.sources.manifest import Manifest
from service.models.sources.names import MANIFEST
from service.models.sources.staging import require_space, write
from service.models.sources.tar import Entry, entries

_OCI: Final = ("oci-layout", "index.json", "blobs", "manifest.json")


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
            checksum.checked(listed.path, file.name)
    if missing:
        raise ModelRefused(f"{file.name} is cut off: {min(missing)} is missing. Copy it again")
    return made


def _manifest(first: Entry | None, file: Path) -> Manifest:
    if first is None or first.path.name != MANIFEST or first.size > manifest.MAX_BYTES:
        is_oci = first is not None and first.path.parts[0] in _OCI
        how = (
            f"it is an archive of an OCI layout: unpack it (mkdir layout && tar -xf {file.name} "
            "-C layout), and add the folder"
            if is_oci
            else "unpack it, and add the folder of the model"
        )
        raise ModelRefused(f"{file.name} was not made by 'finetuned-server models bundle'; {how}")
    return manifest.parse(b"".join(first.chunks), file.name)
